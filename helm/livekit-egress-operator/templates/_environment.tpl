{{/* The operator's environment: every variable of egress_operator/settings.py that a value decides. */}}
{{- define "egress.environment" -}}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- with .Values.livekit }}
{{- if .url }}
- name: LIVEKIT_URL
  value: {{ .url | quote }}
- name: LIVEKIT_API_KEY
  valueFrom:
    secretKeyRef:
      name: {{ .existingSecret }}
      key: {{ .apiKeyKey }}
- name: LIVEKIT_API_SECRET
  valueFrom:
    secretKeyRef:
      name: {{ .existingSecret }}
      key: {{ .apiSecretKey }}
- name: EGRESS_DEFAULT_ALLOWED_NAMESPACES
  value: {{ join "," .allowedNamespaces | quote }}
{{- end }}
{{- end }}
{{- range $variable, $storage := dict "EGRESS_DEFAULT_STORAGE" .Values.defaultStorage "EGRESS_BACKUP_STORAGE" .Values.backupStorage }}
{{- with $storage }}
{{- $place := dict }}
{{- range $kind, $value := omit . "allowedNamespaces" }}
{{- if $value }}{{ $_ := set $place $kind $value }}{{ end }}
{{- end }}
{{- if $place }}
- name: {{ $variable }}
  value: {{ $place | toJson | quote }}
- name: {{ $variable }}_ALLOWED_NAMESPACES
  value: {{ join "," .allowedNamespaces | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- with .Values.webhooks }}
{{- if .receivers }}
- name: EGRESS_WEBHOOKS
  value: {{ toJson .receivers | quote }}
{{- end }}
- name: EGRESS_WEBHOOK_ALLOWED_NAMESPACES
  value: {{ join "," .allowedNamespaces | quote }}
- name: EGRESS_WEBHOOK_ALLOWED_HOSTS
  value: {{ join "," .allowedHosts | quote }}
{{- end }}
- name: EGRESS_RECORDER_IMAGE
  value: {{ include "egress.recorderImage" . | quote }}
{{- with .Values.recorder }}
- name: EGRESS_RECORDER_IMAGE_PULL_POLICY
  value: {{ .image.pullPolicy }}
{{- with .template }}
- name: EGRESS_RECORDER_TEMPLATE
  value: {{ toJson . | quote }}
{{- end }}
{{- with .resources }}
- name: EGRESS_RECORDER_RESOURCES
  value: {{ toJson . | quote }}
{{- end }}
- name: EGRESS_TERMINATION_GRACE_SECONDS
  value: {{ .terminationGracePeriodSeconds | int64 | quote }}
- name: EGRESS_JOB_TTL_SECONDS
  value: {{ .jobTTLSeconds | int64 | quote }}
{{- end }}
- name: EGRESS_RESYNC_SECONDS
  value: {{ .Values.resyncSeconds | int64 | quote }}
- name: EGRESS_LOG_LEVEL
  value: {{ .Values.logLevel }}
{{- with .Values.watchNamespaces }}
- name: WATCH_NAMESPACES
  value: {{ join "," . | quote }}
{{- end }}
{{- end }}
