// Owns Argo CD's verdict on Kubernetes objects, by the health checks of an argocd-cm ConfigMap.
//
// Argo CD's own code reads the ConfigMap (util/settings) and runs the scripts (util/lua, with the libraries and the
// time limit that it gives them). Objects come on stdin, one JSON document per line; the verdicts leave on stdout,
// one JSON document per line.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/argoproj/argo-cd/v3/util/lua"
	"github.com/argoproj/argo-cd/v3/util/settings"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes/fake"
	"sigs.k8s.io/yaml"
)

const namespace = "argocd"

// verdict is what one line of the answer holds.
type verdict struct {
	Status  string `json:"status"`
	Message string `json:"message"`
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: argohealth ARGOCD_CM_YAML < objects")
		os.Exit(64)
	}
	if err := run(os.Args[1], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(path string, in io.Reader, out io.Writer) error {
	checks, err := readChecks(path)
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
		// Up to version 3.5 Argo CD asks no script about an object that is being deleted: it is Progressing. From 3.6
		// on it does, so the scripts are asked here about those as well.
		health, err := checks.GetResourceHealth(object)
		switch {
		case err != nil:
			return fmt.Errorf("the health check of %s failed: %w", object.GetKind(), err)
		case health == nil:
			return fmt.Errorf("%s holds no health check of %s", path, object.GroupVersionKind())
		}
		if err := encoder.Encode(verdict{Status: string(health.Status), Message: health.Message}); err != nil {
			return err
		}
	}
	return lines.Err()
}

func readChecks(path string) (lua.ResourceHealthOverrides, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	config := &corev1.ConfigMap{}
	if err := yaml.UnmarshalStrict(text, config); err != nil {
		return nil, fmt.Errorf("%s is no ConfigMap: %w", path, err)
	}
	config.Namespace = namespace
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	overrides, err := settings.NewSettingsManager(ctx, fake.NewSimpleClientset(config), namespace).GetResourceOverrides()
	if err != nil {
		return nil, fmt.Errorf("Argo CD cannot read %s: %w", path, err)
	}
	return lua.ResourceHealthOverrides(overrides), nil
}
