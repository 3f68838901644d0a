{{/* Names, labels and image references that several templates share. */}}

{{- define "egress.name" -}}
livekit-egress-operator
{{- end }}

{{- define "egress.fullname" -}}
{{- $name := include "egress.name" . }}
{{- $default := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) }}
{{- .Values.fullnameOverride | default $default | trunc 58 | trimSuffix "-" }}
{{- end }}

{{- define "egress.selectorLabels" -}}
app.kubernetes.io/name: {{ include "egress.name" . }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{/*
No managed-by label with the operator's own name here: that label selects recorders' Jobs and pods.
*/}}
{{- define "egress.labels" -}}
{{ include "egress.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: {{ include "egress.name" . }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "egress.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (include "egress.fullname" .) }}
{{- end }}

{{/* A dict of `image` (as in values.yaml) and `version` (the tag when none is given). */}}
{{- define "egress.image" -}}
{{- $path := .image.repository }}
{{- if .image.registry }}{{ $path = printf "%s/%s" .image.registry .image.repository }}{{ end }}
{{- if .image.digest }}
{{- printf "%s@%s" $path .image.digest }}
{{- else }}
{{- printf "%s:%s" $path (.image.tag | default .version) }}
{{- end }}
{{- end }}

{{- define "egress.operatorImage" -}}
{{ include "egress.image" (dict "image" .Values.image "version" .Chart.AppVersion) }}
{{- end }}

{{- define "egress.recorderImage" -}}
{{ include "egress.image" (dict "image" .Values.recorder.image "version" .Chart.AppVersion) }}
{{- end }}

{{/* The label that the operator puts on every recorder's Job and pod. */}}
{{- define "egress.recorderSelector" -}}
app.kubernetes.io/managed-by: livekit-egress-operator
{{- end }}

{{/* The same for the operator's and the test's container. */}}
{{- define "egress.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}
