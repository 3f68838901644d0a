// Owns Flux's verdict on Kubernetes objects: kstatus, and the health check expressions of a Kustomization.
//
// Objects come on stdin, one JSON document per line; the verdicts leave on stdout, one JSON document per line.
// With `-expressions FILE` (a list of spec.healthCheckExprs as JSON) an object of a kind that is named there is
// judged by its expressions, as kustomize-controller does it; all others by kstatus.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/fluxcd/pkg/apis/kustomize"
	"github.com/fluxcd/pkg/runtime/cel"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// verdict is what one line of the answer holds.
type verdict struct {
	Status  string `json:"status"`
	Message string `json:"message"`
}

type evaluators map[schema.GroupVersionKind]*cel.StatusEvaluator

func main() {
	expressions := flag.String("expressions", "", "JSON file with a list of healthCheckExprs")
	flag.Parse()
	if err := run(*expressions, os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(expressions string, in io.Reader, out io.Writer) error {
	own, err := readExpressions(expressions)
	if err != nil {
		return err
	}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 4<<20) // an object in etcd has at most 1.5 MiB
	encoder := json.NewEncoder(out)
	for lines.Scan() {
		object := &unstructured.Unstructured{}
		if err := object.UnmarshalJSON(lines.Bytes()); err != nil {
			return fmt.Errorf("a line of the input is no Kubernetes object: %w", err)
		}
		if err := encoder.Encode(judge(own, object)); err != nil {
			return err
		}
	}
	return lines.Err()
}

func judge(own evaluators, object *unstructured.Unstructured) verdict {
	var result *status.Result
	var err error
	if evaluator, found := own[object.GroupVersionKind()]; found {
		result, err = evaluator.Evaluate(context.Background(), object)
	} else {
		result, err = status.Compute(object)
	}
	if err != nil {
		// Flux shows an expression that cannot be evaluated as Unknown and goes on waiting.
		return verdict{Status: string(status.UnknownStatus), Message: err.Error()}
	}
	return verdict{Status: string(result.Status), Message: result.Message}
}

func readExpressions(path string) (evaluators, error) {
	made := evaluators{}
	if path == "" {
		return made, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var checks []kustomize.CustomHealthCheck
	if err := json.Unmarshal(text, &checks); err != nil {
		return nil, fmt.Errorf("%s holds no list of healthCheckExprs: %w", path, err)
	}
	for _, check := range checks {
		evaluator, err := cel.NewStatusEvaluator(&check.HealthCheckExpressions)
		if err != nil {
			return nil, fmt.Errorf("healthCheckExprs of %s: %w", check.Kind, err)
		}
		made[schema.FromAPIVersionAndKind(check.APIVersion, check.Kind)] = evaluator
	}
	return made, nil
}
