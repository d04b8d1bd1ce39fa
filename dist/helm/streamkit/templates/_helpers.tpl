{{- define "streamkit.labels" -}}
app.kubernetes.io/name: streamkit
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | quote }}
app.kubernetes.io/component: {{ .Values.storage }}
{{- end }}

{{- define "streamkit.selector" -}}
app.kubernetes.io/name: streamkit
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "streamkit.pod" -}}
metadata:
  labels:
    {{- include "streamkit.labels" . | nindent 4 }}
    {{- if eq .Values.storage "azure" }}
    # The pod gets a token of the identity that its service account names.
    azure.workload.identity/use: "true"
    {{- end }}
  {{- if .Values.scrape }}
  annotations:
    prometheus.io/scrape: "true"
    prometheus.io/port: "8080"
    prometheus.io/path: /metrics
  {{- end }}
spec:
  serviceAccountName: {{ .Release.Name }}
  # Variables of services would begin as the server's own do.
  enableServiceLinks: false
  # Workload identity brings a token of its own.
  automountServiceAccountToken: false
  # More than drain, shutdownDeadline and the closing of stores together: a second signal would end it at once.
  terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 10001
    runAsGroup: 10001
    fsGroup: 10001
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile:
      type: RuntimeDefault
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if eq .Values.storage "azure" }}
  # No zone and no node has all hosts, if there is room elsewhere.
  topologySpreadConstraints:
    - maxSkew: 1
      topologyKey: topology.kubernetes.io/zone
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "streamkit.selector" . | nindent 10 }}
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "streamkit.selector" . | nindent 10 }}
  {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: streamkit
      image: "{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}"
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args: [serve]
      env:
        - name: STREAMKIT_LISTEN
          value: 0.0.0.0:8080
        - name: STREAMKIT_DATA
          value: /var/lib/streamkit
        - name: STREAMKIT_JWT_KEY_FILE
          value: /etc/streamkit/keys/jwt-key
        - name: STREAMKIT_LOG_FORMAT
          value: json
        # /readyz is red at once when the pod is to stop, and it serves on until nobody is sent to it any more.
        - name: STREAMKIT_DRAIN
          value: {{ .Values.drain | quote }}
        - name: STREAMKIT_SHUTDOWN_DEADLINE
          value: {{ .Values.shutdownDeadline | quote }}
        {{- if eq .Values.storage "azure" }}
        - name: STREAMKIT_STORAGE
          value: azure
        - name: STREAMKIT_AZURE_ACCOUNT
          value: {{ required "azure.account names the storage account" .Values.azure.account | quote }}
        - name: STREAMKIT_AZURE_CREDENTIAL
          value: workload
        - name: STREAMKIT_AZURE_TABLE
          value: {{ .Values.azure.table | quote }}
        - name: STREAMKIT_AZURE_CONTAINER
          value: {{ .Values.azure.container | quote }}
        # Less than the volume: open extents and what is fetched come on top.
        - name: STREAMKIT_CACHE_BYTES
          value: {{ .Values.azure.cacheBytes | quote }}
        - name: POD_ADDRESS
          valueFrom:
            fieldRef:
              fieldPath: status.podIP
        - name: STREAMKIT_HOST_LISTEN
          value: 0.0.0.0:7400
        - name: STREAMKIT_HOST_ADDRESS
          value: ws://$(POD_ADDRESS):7400
        - name: STREAMKIT_HOST_SECRET_FILE
          value: /etc/streamkit/keys/host-key
        {{- with .Values.azure.bus }}
        - name: STREAMKIT_BUS
          value: {{ . | quote }}
        {{- end }}
        {{- end }}
        {{- with .Values.extraEnv }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      ports:
        - name: http
          containerPort: 8080
        {{- if eq .Values.storage "azure" }}
        - name: hosts
          containerPort: 7400
        {{- end }}
      # The first start of a large store reads its log.
      startupProbe:
        httpGet: {path: /healthz, port: http}
        periodSeconds: 2
        failureThreshold: 150
      # Whether the process lives. It never asks the storage: a restart would not mend that, and would take the healthy stores along.
      livenessProbe:
        httpGet: {path: /healthz, port: http}
        periodSeconds: 10
        timeoutSeconds: 5
        failureThreshold: 6
      # Whether it takes writes, and is not about to leave.
      readinessProbe:
        httpGet: {path: /readyz, port: http}
        periodSeconds: 2
        timeoutSeconds: 5
        failureThreshold: 2
      resources:
        {{- toYaml .Values.resources | nindent 8 }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities:
          drop: [ALL]
      volumeMounts:
        - name: data
          mountPath: /var/lib/streamkit
        - name: keys
          mountPath: /etc/streamkit/keys
          readOnly: true
  volumes:
    - name: keys
      secret:
        secretName: {{ .Values.keys.secret }}
        defaultMode: 0440
        items:
          - {key: jwt-key, path: jwt-key}
          {{- if eq .Values.storage "azure" }}
          - {key: host-key, path: host-key}
          {{- end }}
    {{- if eq .Values.storage "azure" }}
    # A copy of what stands in the account: lost with the pod, and made anew.
    - name: data
      emptyDir:
        sizeLimit: {{ .Values.azure.cache }}
    {{- end }}
{{- end }}
