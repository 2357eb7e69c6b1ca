{{- define "sidereal-export.name" -}}
{{- .Values.fullnameOverride | default "sidereal-export" | trunc 40 | trimSuffix "-" -}}
{{- end }}

{{- /* Labels that never change, by which pods are found: (list $ "worker"). */}}
{{- define "sidereal-export.selector" -}}
app.kubernetes.io/name: sidereal-export
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- /* All labels: (list $ "worker"). */}}
{{- define "sidereal-export.labels" -}}
{{- $root := index . 0 -}}
{{ include "sidereal-export.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: sidereal
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name ($root.Chart.Version | replace "+" "_") }}
{{- end }}

{{- define "sidereal-export.image" -}}
{{- $image := .Values.image -}}
{{- if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ $image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end }}

{{- /* "true" if a gate that does not admit stops probes: said, or by the impact level. */}}
{{- define "sidereal-export.failClosed" -}}
{{- if hasKey (.Values.audit | default dict) "failClosedOnExportFailure" -}}
{{- .Values.audit.failClosedOnExportFailure -}}
{{- else -}}
{{- eq .Values.global.impactLevel "high" -}}
{{- end -}}
{{- end }}

{{- define "sidereal-export.coordinatorAccount" -}}
system:serviceaccount:{{ .Release.Namespace }}:{{ include "sidereal-export.name" . }}-coordinator
{{- end }}

{{- /* The program's configuration file: its own sections of the values, and where members are. */}}
{{- define "sidereal-export.config" -}}
{{- $config := dict "tls" .Values.tls "export" .Values.export -}}
{{- $global := pick .Values.global "impactLevel" "fips" "clusterName" -}}
{{- if not $global.clusterName }}{{ $global = omit $global "clusterName" }}{{ end -}}
{{- $_ := set $config "global" $global -}}
{{- range $section := list "audit" "limits" -}}
{{- with index $.Values $section }}{{ $_ := set $config $section . }}{{ end -}}
{{- end -}}
{{- $six := eq .Values.ipFamily "IPv6" -}}
{{- $own := dict
  "coordinators" (list (printf "%s-coordinator.%s.svc:7443" (include "sidereal-export.name" .) .Release.Namespace))
  "listen" (ternary "[::]:7443" "0.0.0.0:7443" $six)
  "endpoint" (dict "host" (ternary "[::]" "0.0.0.0" $six) "metrics" 8080 "health" 8081)
  "peerCertificates" "/etc/sidereal/peer" -}}
{{- $_ := set $config "cluster" (merge $own (.Values.cluster | default dict)) -}}
{{- toYaml $config -}}
{{- end }}

{{- /* Names of the Secrets that targets name, each once. */}}
{{- define "sidereal-export.secretRefs" -}}
{{- $names := list -}}
{{- range .Values.export.targets }}{{ with .secretRef }}{{ $names = append $names . }}{{ end }}{{ end -}}
{{- $names | uniq | toJson -}}
{{- end }}

{{- define "sidereal-export.hasFiles" -}}
{{- range .Values.export.targets }}{{ if eq .backend "file" }}true{{ end }}{{ end -}}
{{- end }}

{{- /* The Secret with the certificate of a role: (list $ "worker"). */}}
{{- define "sidereal-export.peerSecret" -}}
{{- $root := index . 0 -}}
{{- if eq $root.Values.certificates.mode "existing" -}}
{{- index $root.Values.certificates.existing (printf "%sSecret" (index . 1)) -}}
{{- else -}}
{{- include "sidereal-export.name" $root }}-{{ index . 1 }}-peer
{{- end -}}
{{- end }}

{{- /* Who issues: name, kind and group. */}}
{{- define "sidereal-export.issuer" -}}
{{- with .Values.certificates.issuer -}}
{{- if .name -}}
{{- toYaml (dict "name" .name "kind" .kind "group" .group) -}}
{{- else -}}
{{- toYaml (dict "name" (printf "%s-peer" (include "sidereal-export.name" $)) "kind" "Issuer" "group" "cert-manager.io") -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- /* The volume with a member's certificate: (list $ "worker"). */}}
{{- define "sidereal-export.peerVolume" -}}
{{- $root := index . 0 -}}
{{- $role := index . 1 -}}
{{- if eq $root.Values.certificates.mode "certManagerCSI" -}}
{{- $issuer := include "sidereal-export.issuer" $root | fromYaml -}}
name: peer
csi:
  driver: csi.cert-manager.io
  readOnly: true
  volumeAttributes:
    csi.cert-manager.io/issuer-name: {{ $issuer.name }}
    csi.cert-manager.io/issuer-kind: {{ $issuer.kind }}
    csi.cert-manager.io/issuer-group: {{ $issuer.group }}
    csi.cert-manager.io/dns-names: ${POD_NAME}.{{ $role }}.sidereal-export
    csi.cert-manager.io/key-usages: digital signature,{{ ternary "server auth" "client auth" (eq $role "coordinator") }}
    csi.cert-manager.io/duration: {{ $root.Values.certificates.duration }}
    csi.cert-manager.io/renew-before: {{ $root.Values.certificates.renewBefore }}
    {{- with $root.Values.security.fsGroup }}
    csi.cert-manager.io/fs-group: {{ int64 . | quote }}
    {{- end }}
{{- else -}}
name: peer
secret:
  secretName: {{ include "sidereal-export.peerSecret" . }}
  defaultMode: 0440
  items:
    - {key: ca.crt, path: ca.crt}
    - {key: tls.crt, path: tls.crt}
    - {key: tls.key, path: tls.key}
{{- end -}}
{{- end }}

{{- define "sidereal-export.podSecurity" -}}
{{- $security := .Values.security -}}
runAsNonRoot: true
{{- range $key := list "runAsUser" "fsGroup" }}
{{- with index $security $key }}
{{ $key }}: {{ int64 . }}
{{- end }}
{{- end }}
{{- with $security.runAsUser }}
runAsGroup: {{ int64 . }}
{{- end }}
{{- if $security.fsGroup }}
fsGroupChangePolicy: OnRootMismatch
{{- end }}
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "sidereal-export.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- /* What a pod of either role says alike: (list $ "worker"). */}}
{{- define "sidereal-export.placement" -}}
{{- $root := index . 0 -}}
{{- $settings := index $root.Values (index . 1) -}}
{{- with $root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with $settings.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $settings.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $settings.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $settings.topologySpreadConstraints }}
topologySpreadConstraints: {{- toYaml . | nindent 2 }}
{{- end }}
{{- if eq $settings.antiAffinity "hard" }}
affinity:
  podAntiAffinity:
    requiredDuringSchedulingIgnoredDuringExecution:
      - topologyKey: kubernetes.io/hostname
        labelSelector:
          matchLabels: {{- include "sidereal-export.selector" . | nindent 12 }}
{{- else if eq $settings.antiAffinity "soft" }}
affinity:
  podAntiAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 100
        podAffinityTerm:
          topologyKey: kubernetes.io/hostname
          labelSelector:
            matchLabels: {{- include "sidereal-export.selector" . | nindent 14 }}
      - weight: 50
        podAffinityTerm:
          topologyKey: topology.kubernetes.io/zone
          labelSelector:
            matchLabels: {{- include "sidereal-export.selector" . | nindent 14 }}
{{- end }}
{{- end }}

{{- /*
The probes of a role: "worker". A worker checks its whole ledger before it listens, migrates it where needed and counts its rows: three readings
of a full claim of 4 GiB at 10 MB/s take over 20 minutes. Killed before the end, it would begin anew, for ever.
*/}}
{{- define "sidereal-export.probes" -}}
startupProbe:
  httpGet: {path: /healthz, port: health}
  periodSeconds: 2
  failureThreshold: {{ ternary 900 60 (eq . "worker") }}
livenessProbe:
  httpGet: {path: /healthz, port: health}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /readyz, port: health}
  periodSeconds: 5
  timeoutSeconds: 5
{{- end }}

{{- define "sidereal-export.usesInstanceMetadata" -}}
{{- range .Values.export.targets }}{{ if eq (.credentials | default "") "imds" }}true{{ end }}{{ end -}}
{{- end }}

{{- /* Seconds before the end of a member's certificate at which somebody should have renewed it. */}}
{{- define "sidereal-export.renewalOverdue" -}}
{{- $mode := .Values.certificates.mode -}}
{{- $day := 86400 -}}
{{- if eq $mode "selfSigned" -}}
{{- min (mul 30 $day) (div (mul $day (int64 .Values.certificates.selfSigned.days)) 3) -}}
{{- else if eq $mode "existing" -}}
{{- mul 14 $day -}}
{{- else -}}
{{- $seconds := 0 -}}
{{- range regexFindAll "[0-9]+[hms]" .Values.certificates.renewBefore -1 -}}
{{- $seconds = add $seconds (mul (regexFind "[0-9]+" .) (get (dict "h" 3600 "m" 60 "s" 1) (regexFind "[hms]" .))) -}}
{{- end -}}
{{- /* cert-manager renews when so much is left; half of it later it has failed. */}}
{{- div $seconds 2 -}}
{{- end -}}
{{- end }}
