{{- /* An address as a block of its own. */}}
{{- define "sidereal-export.block" -}}
{{- . }}/{{ ternary "128" "32" (contains ":" .) -}}
{{- end }}

{{- /*
Where the API server is: `cidrs` and `ports`, and `how` that is known. "given" by the values, "found" in the cluster, which takes somebody who installs
into one; "cilium" where Cilium's own policy says it, for there an address that is a node's is in no block; or "unknown".
*/}}
{{- define "sidereal-export.apiServer" -}}
{{- $how := "given" -}}
{{- $cidrs := .Values.networkPolicy.apiServerCIDRs | default list -}}
{{- $ports := list -}}
{{- range .Values.networkPolicy.apiServerPorts }}{{ $ports = append $ports (int .) }}{{ end -}}
{{- if not $cidrs -}}
{{- if .Capabilities.APIVersions.Has "cilium.io/v2/CiliumNetworkPolicy" -}}
{{- $how = "cilium" -}}
{{- else -}}
{{- $slice := lookup "discovery.k8s.io/v1" "EndpointSlice" "default" "kubernetes" -}}
{{- $addresses := list -}}
{{- range $slice.endpoints }}{{ range .addresses }}{{ $addresses = append $addresses . }}{{ end }}{{ end -}}
{{- $how = ternary "found" "unknown" (gt (len $addresses) 0) -}}
{{- if $addresses -}}
{{- range $slice.ports }}{{ $ports = append $ports (int .port) }}{{ end -}}
{{- /* Some networks look at a packet before the Service's address is replaced. */}}
{{- $service := (lookup "v1" "Service" "default" "kubernetes").spec | default dict -}}
{{- range $service.clusterIPs }}{{ $addresses = append $addresses . }}{{ end -}}
{{- range $addresses }}{{ $cidrs = append $cidrs (include "sidereal-export.block" .) }}{{ end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- dict "how" $how "cidrs" ($cidrs | uniq | sortAlpha) "ports" ($ports | uniq) | toJson -}}
{{- end }}

{{- /*
Where workers connect to for targets, or for the proxies in front of them: `literal` addresses with their ports, and of those that are names, which no
policy knows, the `ports` and the `names`.
*/}}
{{- define "sidereal-export.targetPlaces" -}}
{{- $literal := list -}}
{{- $ports := list -}}
{{- $names := list -}}
{{- range .Values.export.targets -}}
{{- if ne .backend "file" -}}
{{- $usual := dict "https" "443" "http" "80" "tls" "6514" "syslog+tls" "6514" -}}
{{- $address := .endpoint | default "https://s3" -}}
{{- if and .proxy (ne .proxy "none") }}{{ $address = .proxy }}{{ end -}}
{{- $scheme := regexFind "^[a-z+]+" (lower $address) -}}
{{- $authority := regexReplaceAll "^[^/]+//([^/]*).*$" $address "${1}" -}}
{{- $port := regexFind ":[0-9]+$" $authority | trimPrefix ":" -}}
{{- $port = $port | default (get $usual $scheme) | int -}}
{{- $host := regexReplaceAll ":[0-9]+$" $authority "" | trimPrefix "[" | trimSuffix "]" | lower -}}
{{- if or (contains ":" $host) (regexMatch "^[0-9.]+$" $host) -}}
{{- $literal = append $literal (dict "cidr" (include "sidereal-export.block" $host) "port" $port) -}}
{{- else -}}
{{- $ports = append $ports $port -}}
{{- $names = append $names $host -}}
{{- end -}}
{{- if and (eq .backend "s3") (eq $.Values.aws.credentials "irsa") -}}
{{- $ports = append $ports 443 -}}
{{- $names = append $names "sts" -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- dict "literal" ($literal | uniq) "ports" ($ports | uniq) "names" ($names | uniq) | toJson -}}
{{- end }}

{{- /* A rule that lets a pod ask for names. Ports are those of the pods that answer: policies do not see the Service's. */}}
{{- define "sidereal-export.dnsEgress" -}}
- to:
    - namespaceSelector:
        matchLabels:
          kubernetes.io/metadata.name: {{ .namespace }}
      podSelector:
        matchLabels: {{- toYaml .podLabels | nindent 10 }}
    {{- range .cidrs }}
    - ipBlock: {cidr: {{ . | quote }}}
    {{- end }}
  ports:
    {{- range .ports }}
    - {protocol: UDP, port: {{ int . }}}
    - {protocol: TCP, port: {{ int . }}}
    {{- end }}
{{- end }}
