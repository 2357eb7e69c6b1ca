import Configuration
import ExportCore
import Model
import Testing

@Suite struct ConfigurationTests {
    /// The example of the documentation.
    static let example = """
        global: {impactLevel: high, fips: false, clusterName: prod-east}
        audit: {failClosedOnExportFailure: true, retentionDays: 365}
        tls: {required: true}            # false only with loopback endpoints
        export:
          targets:
            - name: soc-splunk           # optional; default <backend>-<index>
              backend: splunk
              format: json
              endpoint: https://splunk.example.com:8088
              secretRef: splunk-hec-token
        """

    @Test func readsTheExample() throws {
        let configuration = try Configuration.parse(Self.example, name: "values.yaml")
        #expect(configuration.impactLevel == .high)
        #expect(configuration.fips == false)
        #expect(configuration.clusterName == "prod-east")
        #expect(configuration.gate.failClosed)
        #expect(configuration.retentionDays == 365)
        #expect(configuration.tlsRequired)
        #expect(configuration.limits == Limits())
        #expect(configuration.file == "values.yaml")
        var target = Target(
            name: "soc-splunk", backend: .splunk, format: .json,
            endpoint: Endpoint(scheme: "https", host: "splunk.example.com", port: 8088, path: ""))
        target.secretRef = "splunk-hec-token"
        #expect(configuration.targets == [target])
    }

    @Test(arguments: [("high", true, 365), ("moderate", false, 365), ("low", false, 180)])
    func defaultsFollowTheImpactLevel(_ level: String, _ failClosed: Bool, _ days: Int) throws {
        let text = file(head: "global: {impactLevel: \(level)}\n")
        let configuration = try Configuration.parse(text, name: "f")
        #expect(configuration.gate.failClosed == failClosed)
        #expect(configuration.retentionDays == days)
        #expect(configuration.clusterName == "default")
        #expect(!configuration.fips)
        #expect(configuration.tlsRequired)
    }

    @Test func whatIsGivenWinsOverTheImpactLevel() throws {
        let text = file(
            head: """
                audit: {failClosedOnExportFailure: true, retentionDays: 30}
                global: {impactLevel: low, fips: true}

                """)
        let configuration = try Configuration.parse(text, name: "f")
        #expect(configuration.gate.failClosed)
        #expect(configuration.retentionDays == 30)
        #expect(configuration.fips)
    }

    @Test func readsEverySetting() throws {
        let text = """
            tls: {required: false}
            limits: {maxRecordBytes: 512KiB, maxQueuedBytesPerTarget: 32MiB}
            x-notes: [anything, {goes: here}]
            export:
              targets:
                - backend: splunk
                  endpoint: HTTPS://[2001:DB8::1]:8088/proxy/
                  secretRef: hec
                  index: audit
                  source: sidereal
                  sourcetype: sidereal:probe
                  host: "7"
                  batch: {maxRecords: 100, maxBytes: 500kB, maxAge: 250ms}
                  concurrency: {min: 2, max: 8}
                  retry: {initial: 1, max: 1m, window: 2h}
                  compression: none
                  tls: {serverName: splunk.internal}
                  proxy: http://proxy.example.com:3128/
                - backend: elasticsearch
                  endpoint: http://127.1.2.3
                  dataStream: logs-sidereal-default
                - backend: file
                  endpoint: file:///var/log/with space//
                  maxFileBytes: 10MB
            """
        let configuration = try Configuration.parse(text, name: "f")
        #expect(configuration.limits.maxRecordBytes == 512 << 10)
        #expect(configuration.limits.maxQueuedBytesPerTarget == 32 << 20)
        let names = configuration.targets.map(\.name)
        #expect(names == ["splunk-0", "elasticsearch-1", "file-2"])
        let splunk = configuration.targets[0]
        #expect(splunk.endpoint == Endpoint(scheme: "https", host: "2001:db8::1", port: 8088, path: "/proxy"))
        #expect(splunk.endpoint.base == "https://[2001:db8::1]:8088/proxy")
        #expect(
            [splunk.index, splunk.source, splunk.sourcetype, splunk.host] == [
                "audit", "sidereal", "sidereal:probe", "7",
            ])
        #expect(splunk.batch == BatchBounds(maxRecords: 100, maxBytes: 500_000, maxAgeMilliseconds: 250))
        #expect(splunk.minConcurrency == 2)
        #expect(splunk.maxConcurrency == 8)
        #expect(
            splunk.retry
                == RetrySettings(
                    initialMilliseconds: 1_000, maxMilliseconds: 60_000, windowMilliseconds: 7_200_000))
        #expect(splunk.compression == .none)
        #expect(splunk.tlsServerName == "splunk.internal")
        #expect(splunk.proxy == "http://proxy.example.com:3128/")
        let elasticsearch = configuration.targets[1]
        #expect(elasticsearch.endpoint == Endpoint(scheme: "http", host: "127.1.2.3", port: 80, path: ""))
        #expect(elasticsearch.dataStream == "logs-sidereal-default")
        #expect(elasticsearch.compression == .gzip)
        let file = configuration.targets[2]
        #expect(file.endpoint == Endpoint(scheme: "file", host: "", port: 0, path: "/var/log/with space"))
        #expect(file.maxFileBytes == 10_000_000)
        #expect(file.secretRef == nil)
    }

    @Test func keysWithoutValueCountAsNotGiven() throws {
        let text = file("batch:", "retry: ~", "maxFileBytes: null", head: "global:\naudit: ~\ntls: null\nlimits:\n")
        let configuration = try Configuration.parse(text, name: "f")
        #expect(configuration.targets[0].maxFileBytes == 256 << 20)
    }

    @Test(arguments: ["\n", "\r\n", "\r"])
    func everyLineEndIsTaken(_ end: String) throws {
        let text = Self.example.split(separator: "\n").joined(separator: end) + end
        let configuration = try Configuration.parse(text, name: "f")
        #expect(configuration.targets.map(\.name) == ["soc-splunk"])
    }

    @Test func byteOrderMarkIsSkipped() throws {
        let configuration = try Configuration.parse("\u{FEFF}" + Self.example, name: "f")
        #expect(configuration.clusterName == "prod-east")
    }

    @Test func aFewAnchorsAreTaken() throws {
        let text = """
            x-batch: &batch {maxAge: 2s}
            export:
              targets:
                - {backend: file, endpoint: "file:///a", batch: *batch}
                - {backend: file, endpoint: "file:///b", batch: *batch}
            """
        let configuration = try Configuration.parse(text, name: "f")
        #expect(configuration.targets.map(\.batch.maxAgeMilliseconds) == [2_000, 2_000])
    }
}
