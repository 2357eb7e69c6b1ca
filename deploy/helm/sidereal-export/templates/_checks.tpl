{{- /*
What the program would refuse and the schema cannot say: bounds of durations and sizes, and relations between settings.
All mistakes are told at once.
*/}}
{{- define "sidereal-export.check" -}}
{{- $found := dict "mistakes" list -}}
{{- include "sidereal-export.checkPlatform" (list . $found) -}}
{{- include "sidereal-export.checkCluster" (list . $found) -}}
{{- include "sidereal-export.checkTargets" (list . $found) -}}
{{- with $found.mistakes -}}
{{- fail (printf "\n\nthese values cannot work:\n  - %s\n" (join "\n  - " .)) -}}
{{- end -}}
{{- end }}

{{- /* Adds a mistake: (list $found "audit.ageLimit" "is wrong"). */}}
{{- define "sidereal-export.mistake" -}}
{{- $found := index . 0 -}}
{{- $_ := set $found "mistakes" (append $found.mistakes (printf "%s %s" (index . 1) (index . 2))) -}}
{{- end }}

{{- /* Milliseconds of a duration such as 250ms, 5m or a number of seconds. */}}
{{- define "sidereal-export.milliseconds" -}}
{{- if kindIs "string" . -}}
{{- $factors := dict "" 1000 "ms" 1 "s" 1000 "m" 60000 "h" 3600000 "d" 86400000 -}}
{{- mul (regexFind "^[0-9]+" .) (get $factors (regexFind "[a-zA-Z]*$" .)) -}}
{{- else -}}
{{- mul . 1000 -}}
{{- end -}}
{{- end }}

{{- /* Bytes of a size such as 900kB, 16MiB or a number. */}}
{{- define "sidereal-export.bytes" -}}
{{- if kindIs "string" . -}}
{{- $factors := dict "" 1 "B" 1 "kB" 1000 "MB" 1000000 "GB" 1000000000 "KiB" 1024 "MiB" 1048576 "GiB" 1073741824 -}}
{{- mul (regexFind "^[0-9]+" .) (get $factors (regexFind "[a-zA-Z]*$" .)) -}}
{{- else -}}
{{- int64 . -}}
{{- end -}}
{{- end }}

{{- /* Holds a setting against its bounds, if it is given: (list $found section "path." "key" "milliseconds" "10s" "7d"). */}}
{{- define "sidereal-export.within" -}}
{{- $section := index . 1 | default dict -}}
{{- $key := index . 3 -}}
{{- if hasKey $section $key -}}
{{- $unit := printf "sidereal-export.%s" (index . 4) -}}
{{- $value := include $unit (get $section $key) | int64 -}}
{{- if or (lt $value (include $unit (index . 5) | int64)) (gt $value (include $unit (index . 6) | int64)) -}}
{{- include "sidereal-export.mistake" (list (index . 0) (printf "%s%s" (index . 2) $key) (printf "is %v; from %s to %s is possible" (get $section $key) (index . 5) (index . 6))) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- /* That a text is one line of no more bytes than the program takes; the schema counts characters: (list $found section "path." "key" 255). */}}
{{- define "sidereal-export.text" -}}
{{- $text := get (index . 1) (index . 3) -}}
{{- if and (kindIs "string" $text) (gt (len $text) (int (index . 4))) -}}
{{- include "sidereal-export.mistake" (list (index . 0) (printf "%s%s" (index . 2) (index . 3)) (printf "has %d bytes, more than %d" (len $text) (int (index . 4)))) -}}
{{- end -}}
{{- if and (kindIs "string" $text) (regexMatch "\\p{Cc}" $text) -}}
{{- include "sidereal-export.mistake" (list (index . 0) (printf "%s%s" (index . 2) (index . 3)) "holds a line break or another control character") -}}
{{- end -}}
{{- end }}

{{- /* That one setting is not above another, defaults included: (list $found "path" section "low" "5s" "high" "5m"). */}}
{{- define "sidereal-export.ordered" -}}
{{- $section := index . 2 | default dict -}}
{{- $low := get $section (index . 3) | default (index . 4) -}}
{{- $high := get $section (index . 5) | default (index . 6) -}}
{{- if gt (include "sidereal-export.milliseconds" $low | int64) (include "sidereal-export.milliseconds" $high | int64) -}}
{{- include "sidereal-export.mistake" (list (index . 0) (index . 1) (printf "has %s %v, more than %s %v" (index . 3) $low (index . 5) $high)) -}}
{{- end -}}
{{- end }}

{{- define "sidereal-export.checkPlatform" -}}
{{- $root := index . 0 -}}
{{- $found := index . 1 -}}
{{- $admission := $root.Values.admission -}}
{{- $gate := and $admission.gate.enabled (eq (include "sidereal-export.failClosed" $root) "true") -}}
{{- if and (or $gate $admission.results.enabled) (semverCompare "<1.30.0-0" $root.Capabilities.KubeVersion.Version) -}}
{{- include "sidereal-export.mistake" (list $found "admission" (printf "needs ValidatingAdmissionPolicy of Kubernetes 1.30, and this is %s: set admission.gate.enabled and admission.results.enabled to false; then nothing but the scheduler's own question at /v1/gate halts probing" $root.Capabilities.KubeVersion.Version)) -}}
{{- end -}}
{{- $certificates := $root.Values.certificates -}}
{{- if and (eq $certificates.mode "existing") (not (and $certificates.existing.coordinatorSecret $certificates.existing.workerSecret)) -}}
{{- include "sidereal-export.mistake" (list $found "certificates.existing" "needs coordinatorSecret and workerSecret, which have ca.crt, tls.crt and tls.key") -}}
{{- end -}}
{{- if ne (empty $certificates.selfSigned.caCertificate) (empty $certificates.selfSigned.caKey) -}}
{{- include "sidereal-export.mistake" (list $found "certificates.selfSigned" "needs caCertificate and caKey, or neither") -}}
{{- end -}}
{{- if and (eq $root.Values.aws.credentials "irsa") (not $root.Values.aws.roleArn) -}}
{{- include "sidereal-export.mistake" (list $found "aws.roleArn" "is missing, and aws.credentials is irsa") -}}
{{- end -}}
{{- $scaling := $root.Values.autoscaling -}}
{{- if gt (int64 $scaling.minReplicas) (int64 $scaling.maxReplicas) -}}
{{- include "sidereal-export.mistake" (list $found "autoscaling" "has minReplicas above maxReplicas") -}}
{{- end -}}
{{- include "sidereal-export.checkBudget" (list $root $found "coordinator" ($root.Values.coordinator.replicas | int64)) -}}
{{- include "sidereal-export.checkBudget" (list $root $found "worker" (ternary $scaling.minReplicas $root.Values.worker.replicas $scaling.enabled | int64)) -}}
{{- end }}

{{- /* That a node can be drained: one replica at least may be missing. Kubernetes rounds percentages up. */}}
{{- define "sidereal-export.checkBudget" -}}
{{- $role := index . 2 -}}
{{- $replicas := index . 3 -}}
{{- $given := index (index . 0).Values $role "minAvailable" -}}
{{- if not (kindIs "invalid" $given) -}}
{{- $least := 0 -}}
{{- if kindIs "string" $given -}}
{{- $least = div (add (mul ($given | trimSuffix "%" | int64) $replicas) 99) 100 -}}
{{- else -}}
{{- $least = $given | int64 -}}
{{- end -}}
{{- if ge ($least | int64) $replicas -}}
{{- include "sidereal-export.mistake" (list (index . 1) (printf "%s.minAvailable" $role) (printf "is %v of %d replicas: none could ever be evicted, and draining a node would hang; let one be missing, or leave it out" $given $replicas)) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "sidereal-export.checkCluster" -}}
{{- $root := index . 0 -}}
{{- $found := index . 1 -}}
{{- $cluster := $root.Values.cluster | default dict -}}
{{- include "sidereal-export.text" (list $found $root.Values.global "global." "clusterName" 253) -}}
{{- include "sidereal-export.within" (list $found $root.Values.audit "audit." "ageLimit" "milliseconds" "10s" "7d") -}}
{{- include "sidereal-export.within" (list $found $cluster "cluster." "workerLease" "milliseconds" "400ms" "2m") -}}
{{- include "sidereal-export.within" (list $found $cluster "cluster." "releaseDeadline" "milliseconds" "100ms" "5m") -}}
{{- include "sidereal-export.within" (list $found $cluster "cluster." "windowBytes" "bytes" "1MiB" "1GiB") -}}
{{- $lease := $cluster.lease | default dict -}}
{{- range $key := list "duration" "renewDeadline" "retryPeriod" -}}
{{- include "sidereal-export.within" (list $found $lease "cluster.lease." $key "milliseconds" "50ms" "10m") -}}
{{- end -}}
{{- $duration := include "sidereal-export.milliseconds" ($lease.duration | default "15s") | int64 -}}
{{- $deadline := include "sidereal-export.milliseconds" ($lease.renewDeadline | default "10s") | int64 -}}
{{- $retry := include "sidereal-export.milliseconds" ($lease.retryPeriod | default "2s") | int64 -}}
{{- if or (le $duration $deadline) (le (mul $deadline 10) (mul $retry 12)) -}}
{{- include "sidereal-export.mistake" (list $found "cluster.lease" "does not have duration > renewDeadline > 1.2 x retryPeriod, as 15s, 10s and 2s (the defaults): two leaders could act at once, or one late renewal would depose one") -}}
{{- end -}}
{{- $limits := $root.Values.limits | default dict -}}
{{- include "sidereal-export.within" (list $found $limits "limits." "maxRecordBytes" "bytes" "4KiB" "15MiB") -}}
{{- include "sidereal-export.within" (list $found $limits "limits." "maxQueuedBytesPerTarget" "bytes" "1MiB" "1GiB") -}}
{{- $record := include "sidereal-export.bytes" ($limits.maxRecordBytes | default "1MiB") | int64 -}}
{{- $queued := include "sidereal-export.bytes" ($limits.maxQueuedBytesPerTarget | default "16MiB") | int64 -}}
{{- if gt $record $queued -}}
{{- include "sidereal-export.mistake" (list $found "limits" "has maxRecordBytes above maxQueuedBytesPerTarget: a queue must hold at least one record") -}}
{{- end -}}
{{- end }}

{{- define "sidereal-export.checkTargets" -}}
{{- $root := index . 0 -}}
{{- $found := index . 1 -}}
{{- $names := dict -}}
{{- $directories := dict -}}
{{- range $index, $target := $root.Values.export.targets -}}
{{- $path := printf "export.targets[%d]" $index -}}
{{- $name := $target.name | default (printf "%s-%d" $target.backend $index) -}}
{{- if hasKey $names $name -}}
{{- include "sidereal-export.mistake" (list $found (printf "%s.name" $path) (printf "%s is the name of another target" $name)) -}}
{{- end -}}
{{- $_ := set $names $name true -}}
{{- include "sidereal-export.checkTarget" (list $root $found $target (printf "%s (%s)" $path $name)) -}}
{{- if eq $target.backend "file" -}}
{{- $directory := $target.endpoint | trimPrefix "file://" | trimSuffix "/" -}}
{{- $mount := $root.Values.worker.files.mountPath -}}
{{- if hasKey $directories $directory -}}
{{- include "sidereal-export.mistake" (list $found (printf "%s.endpoint" $path) "is the directory of another target") -}}
{{- end -}}
{{- $_ := set $directories $directory true -}}
{{- if not (or (eq $directory $mount) (hasPrefix (printf "%s/" $mount) $directory)) -}}
{{- include "sidereal-export.mistake" (list $found (printf "%s.endpoint" $path) (printf "lies outside of worker.files.mountPath, %s: nothing else can be written to" $mount)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "sidereal-export.checkTarget" -}}
{{- $root := index . 0 -}}
{{- $found := index . 1 -}}
{{- $target := index . 2 -}}
{{- $path := index . 3 -}}
{{- $dot := printf "%s." $path -}}
{{- $bounds := list
  (list "timeout" "100ms" "1h") (list "acknowledgeTimeout" "5s" "1h") (list "grace" "50ms" "60s") (list "maxFileAge" "1s" "24h") -}}
{{- range $bounds -}}
{{- include "sidereal-export.within" (list $found $target $dot (index . 0) "milliseconds" (index . 1) (index . 2)) -}}
{{- end -}}
{{- $texts := dict
  "endpoint" 2048 "proxy" 2048 "index" 255 "source" 255 "sourcetype" 255 "host" 255 "prefix" 512 "kmsKeyId" 2048 "vendor" 63 "product" 63 -}}
{{- range $key, $most := $texts -}}
{{- include "sidereal-export.text" (list $found $target $dot $key $most) -}}
{{- end -}}
{{- include "sidereal-export.within" (list $found $target $dot "maxFileBytes" "bytes" "1MiB" "1024GiB") -}}
{{- include "sidereal-export.within" (list $found $target $dot "maxMessageBytes" "bytes" "480B" "1MiB") -}}
{{- include "sidereal-export.within" (list $found $target.batch (printf "%sbatch." $dot) "maxAge" "milliseconds" "1ms" "1h") -}}
{{- include "sidereal-export.within" (list $found $target.batch (printf "%sbatch." $dot) "maxBytes" "bytes" "1B" "1GiB") -}}
{{- include "sidereal-export.within" (list $found $target.retry (printf "%sretry." $dot) "initial" "milliseconds" "10ms" "1h") -}}
{{- include "sidereal-export.within" (list $found $target.retry (printf "%sretry." $dot) "max" "milliseconds" "10ms" "24h") -}}
{{- include "sidereal-export.within" (list $found $target.retry (printf "%sretry." $dot) "window" "milliseconds" "1s" "30d") -}}
{{- include "sidereal-export.ordered" (list $found (printf "%sretry" $dot) $target.retry "initial" "5s" "max" "5m") -}}
{{- include "sidereal-export.ordered" (list $found (printf "%sretry" $dot) $target.retry "max" "5m" "window" "24h") -}}
{{- $batch := dict "splunk" "900kB" "elasticsearch" "5MB" "s3" "5MB" "syslog" "1MB" "file" "4MB" -}}
{{- $size := dig "batch" "maxBytes" (get $batch $target.backend) $target -}}
{{- $queued := dig "maxQueuedBytesPerTarget" "16MiB" ($root.Values.limits | default dict) -}}
{{- if gt (include "sidereal-export.bytes" $size | int64) (include "sidereal-export.bytes" $queued | int64) -}}
{{- include "sidereal-export.mistake" (list $found (printf "%sbatch.maxBytes" $dot) (printf "is %v, more than limits.maxQueuedBytesPerTarget, %v" $size $queued)) -}}
{{- end -}}
{{- $most := dict "splunk" (ternary 16 1 ($target.acknowledge | default false)) "elasticsearch" 4 "s3" 4 "syslog" 4 "file" 1 -}}
{{- $most = dig "concurrency" "max" (get $most $target.backend) $target -}}
{{- if gt (dig "concurrency" "min" 1 $target | int64) ($most | int64) -}}
{{- include "sidereal-export.mistake" (list $found (printf "%sconcurrency.min" $dot) (printf "is above concurrency.max, %v" $most)) -}}
{{- end -}}
{{- if eq $target.backend "s3" -}}
{{- include "sidereal-export.checkS3" (list $root $found $target $dot) -}}
{{- end -}}
{{- end }}

{{- define "sidereal-export.checkS3" -}}
{{- $root := index . 0 -}}
{{- $found := index . 1 -}}
{{- $target := index . 2 -}}
{{- $dot := index . 3 -}}
{{- $mode := $target.credentials | default "auto" -}}
{{- $source := $root.Values.aws.credentials -}}
{{- if and (eq $mode "auto") (not $target.secretRef) (eq $source "none") -}}
{{- include "sidereal-export.mistake" (list $found (printf "%ssecretRef" $dot) "is missing, and aws.credentials is none: name a Secret with accessKeyId and secretAccessKey, or set aws.credentials to irsa or podIdentity") -}}
{{- end -}}
{{- if and (has $mode (list "irsa" "podIdentity")) (ne $mode $source) -}}
{{- include "sidereal-export.mistake" (list $found (printf "%scredentials" $dot) (printf "is %s, and aws.credentials is %s" $mode $source)) -}}
{{- end -}}
{{- $cluster := $root.Values.global.clusterName | default "default" -}}
{{- $prefix := $target.prefix | default "" | trimAll "/" -}}
{{- /* A key of 1024 bytes, less 160 for what the program puts behind; each byte of a name that is not plain takes three. */}}
{{- if gt (add (len $prefix) (mul 3 (len $cluster))) 864 -}}
{{- include "sidereal-export.mistake" (list $found (printf "%sprefix" $dot) (printf "of %d bytes, with three times the %d of global.clusterName, is more than 864, and a key of S3 holds 1024: shorten one of them" (len $prefix) (len $cluster))) -}}
{{- end -}}
{{- $context := $target.kmsContext | default dict -}}
{{- $sum := 0 -}}
{{- range $key, $value := $context -}}
{{- $sum = add $sum (len $key) (len $value) -}}
{{- include "sidereal-export.text" (list $found $context (printf "%skmsContext." $dot) $key 256) -}}
{{- end -}}
{{- if gt (int64 $sum) 2048 -}}
{{- include "sidereal-export.mistake" (list $found (printf "%skmsContext" $dot) (printf "has %d bytes in all, more than 2048" $sum)) -}}
{{- end -}}
{{- $kept := ($root.Values.audit | default dict).retentionDays | default (ternary 180 365 (eq $root.Values.global.impactLevel "low")) | int64 -}}
{{- if and (hasKey $target "retentionDays") (lt ($target.retentionDays | int64) $kept) -}}
{{- include "sidereal-export.mistake" (list $found (printf "%sretentionDays" $dot) (printf "is %v, fewer than audit.retentionDays, %v: objects must stay as long as results do" $target.retentionDays $kept)) -}}
{{- end -}}
{{- $host := regexReplaceAll "^[^/]+//([^/:]*).*$" ($target.endpoint | default "") "${1}" | lower -}}
{{- $aws := regexMatch "\\.(amazonaws\\.com(\\.cn)?|amazonaws\\.eu|c2s\\.ic\\.gov|sc2s\\.sgov\\.gov|cloud\\.adc-e\\.uk|csp\\.hci\\.ic\\.gov)$" $host -}}
{{- if and $target.endpoint (not $aws) (not $target.region) -}}
{{- include "sidereal-export.mistake" (list $found (printf "%sregion" $dot) "is missing; the endpoint does not name it") -}}
{{- end -}}
{{- $named := regexFind "s3(-fips)?[.-][a-z]{2}(-[a-z]+)+-[0-9]+" $host | replace "s3-fips." "" | replace "s3." "" | replace "s3-" "" -}}
{{- if and $aws $named $target.region (ne $named $target.region) -}}
{{- include "sidereal-export.mistake" (list $found (printf "%sregion" $dot) (printf "is %s, and the endpoint is that of %s" $target.region $named)) -}}
{{- end -}}
{{- if $root.Values.global.fips -}}
{{- if and $aws (not (contains "-fips" $host)) -}}
{{- include "sidereal-export.mistake" (list $found (printf "%sendpoint" $dot) "is no FIPS endpoint, and global.fips is true") -}}
{{- end -}}
{{- if and (not $target.endpoint) (not (regexMatch "^(us|ca)-" ($target.region | default ""))) -}}
{{- include "sidereal-export.mistake" (list $found (printf "%sregion" $dot) "has no FIPS endpoint of S3, and global.fips is true") -}}
{{- end -}}
{{- end -}}
{{- end }}
