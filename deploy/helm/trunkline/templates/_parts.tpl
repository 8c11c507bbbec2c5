{{/* What several objects have alike. Values are those of values.yaml, `.` is the root. */}}

{{- define "trunkline.labels" -}}
app.kubernetes.io/name: trunkline
app.kubernetes.io/component: server
{{- end }}

{{- define "trunkline.metadata" -}}
name: trunkline
namespace: {{ .Release.Namespace }}
labels:
  {{- include "trunkline.labels" . | nindent 2 }}
{{- end }}

{{/* Whether code of pipelines runs in pods: "true", or nothing. */}}
{{- define "trunkline.pods" -}}
{{- if eq (.Values.settings.TRUNKLINE_RUNTIME | default "kubernetes") "kubernetes" }}true{{ end }}
{{- end }}

{{- define "trunkline.image" -}}
{{- .Values.image | default (printf "trunkline:%s" .Chart.AppVersion) }}
{{- end }}

{{/* The variables of the server, those of the settings last. */}}
{{- define "trunkline.env" -}}
- name: TRUNKLINE_HOME
  value: /var/lib/trunkline/data
- name: HOME
  value: /tmp
{{- if include "trunkline.pods" . }}
- name: SERVER_POD
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: SERVER_UID
  valueFrom: {fieldRef: {fieldPath: metadata.uid}}
{{- if .Values.store }}
- name: SERVER_ADDRESS
  valueFrom: {fieldRef: {fieldPath: status.podIP}}
{{- end }}
- name: TRUNKLINE_POD_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
{{- if not (hasKey .Values.settings "TRUNKLINE_RUNTIME") }}
- name: TRUNKLINE_RUNTIME
  value: kubernetes
{{- end }}
- name: TRUNKLINE_WORKERS_LISTEN
  value: 0.0.0.0:30651
- name: TRUNKLINE_WORKERS_ADDRESS
  # Workers come to the server that leads, not to any of them.
  value: {{ ternary "$(SERVER_ADDRESS)" "trunkline" (not (empty .Values.store)) }}:30651
- name: TRUNKLINE_POD_IMAGE
  value: {{ include "trunkline.image" . | quote }}
{{- if not .Values.store }}
- name: TRUNKLINE_POD_CLAIM
  value: trunkline
{{- end }}
- name: TRUNKLINE_POD_OWNER
  value: $(SERVER_POD)/$(SERVER_UID)
- name: TRUNKLINE_DATA_URL
  value: {{ ternary "https" "http" (not (empty .Values.tlsSecret)) }}://trunkline:30650
{{- end }}
{{- if .Values.store }}
- name: TRUNKLINE_STORE
  value: {{ .Values.store | quote }}
{{- if include "trunkline.pods" . }}
- name: TRUNKLINE_POD_SECRET
  value: {{ .Values.storeSecret }}
{{- end }}
{{- end }}
{{- include "trunkline.trust" . }}
{{- range $name, $value := .Values.settings }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}

{{/* How those inside of the cluster tell that a server is one, whatever its address. */}}
{{- define "trunkline.trust" -}}
{{- if .Values.tlsSecret }}
{{- if not (hasKey .Values.settings "TRUNKLINE_TLS_NAME") }}
- name: TRUNKLINE_TLS_NAME
  value: trunkline.{{ .Release.Namespace }}.svc
{{- end }}
{{- if and (include "trunkline.pods" .) (not (hasKey .Values.settings "TRUNKLINE_POD_TLS_SECRET")) }}
- name: TRUNKLINE_POD_TLS_SECRET
  value: {{ .Values.tlsSecret }}
{{- end }}
{{- if and (gt (int .Values.replicas) 1) (not (hasKey .Values.settings "TRUNKLINE_CA_FILE")) }}
- name: TRUNKLINE_CA_FILE
  value: /etc/trunkline/tls/ca.crt
{{- end }}
{{- end }}
{{- end }}

{{/* A look at the server; called with a dict of root, path, period and tries. */}}
{{- define "trunkline.probe" -}}
httpGet:
  path: {{ .path }}
  port: api
  {{- if .root.Values.tlsSecret }}
  scheme: HTTPS
  {{- end }}
periodSeconds: {{ .period }}
timeoutSeconds: 5
failureThreshold: {{ .tries }}
{{- end }}
