import Configuration
import Model
import Testing

/// Mistakes in a target.
@Suite struct TargetProblemTests {
    private static let path = "export.targets[0]"

    @Test func backendAndFormat() throws {
        try expect(
            target(["endpoint: https://a"]), at: (3, 7), "\(Self.path).backend", "is missing",
            hint: "one of `splunk`, `elasticsearch`, `s3`, `syslog`, `file`")
        try expect(
            target(["backend: splnk", "endpoint: https://a"]), at: (3, 16), "\(Self.path).backend",
            "unknown value `splnk`; expected one of `splunk`, `elasticsearch`, `s3`, `syslog`, `file`",
            hint: "did you mean `splunk`?")
        try expect(
            target(["backend: kafka", "endpoint: https://a"]), at: (3, 16), "\(Self.path).backend",
            "unknown value `kafka`", hint: nil)
        try expect(
            file("format: jsno"), at: (5, 15), "\(Self.path).format",
            "unknown value `jsno`; expected one of `json`, `cef`, `leef`, `syslog`, `ocsf`",
            hint: "did you mean `json`?")
    }

    /// Many requests wait for their acknowledgement at once, unless somebody says otherwise.
    @Test func acknowledgementsChangeTheDefaultConcurrency() throws {
        func target(_ lines: String...) throws -> Target {
            try Configuration.parse(splunk(lines.joined(separator: "\n      ")), name: "f").targets[0]
        }
        let plain = try target("acknowledge: false")
        #expect(!plain.acknowledge && plain.maxConcurrency == 1)
        let on = try target("acknowledge: true", "acknowledgeTimeout: 2m")
        #expect(on.acknowledge && on.maxConcurrency == 16 && on.acknowledgeTimeoutMilliseconds == 120_000)
        let given = try target("acknowledge: true", "concurrency: {max: 3}")
        #expect(given.maxConcurrency == 3 && given.acknowledgeTimeoutMilliseconds == 300_000)
    }

    @Test func acknowledgementTimesBelongToAcknowledgements() throws {
        for off in ["", "acknowledge: false"] {
            let lines = [off, "acknowledgeTimeout: 2m"].filter { !$0.isEmpty }
            let found = try #require(problems(splunk(lines.joined(separator: "\n      "))).first)
            #expect(
                found.keyPath == "\(Self.path).acknowledgeTimeout" && found.hint?.contains("acknowledge: true") == true)
        }
        try expect(
            splunk("acknowledge: yes"), at: (6, 20), "\(Self.path).acknowledge", "expected `true` or `false`",
            hint: "write `true`")
        try expect(
            elasticsearch("acknowledge: true"), at: (6, 7), "\(Self.path).acknowledge",
            "belongs to the backend `splunk`",
            hint: "remove")
    }

    @Test func keysOfOtherBackends() throws {
        try expect(
            elasticsearch("sourcetype: a"), at: (6, 7), "\(Self.path).sourcetype",
            "belongs to the backend `splunk`; the backend here is `elasticsearch`", hint: "remove")
        try expect(
            splunk("maxFileBytes: 5MB"), at: (6, 7), "\(Self.path).maxFileBytes", "belongs to the backend `file`",
            hint: "remove")
        try expect(
            splunk("bucket: b"), at: (6, 7), "\(Self.path).bucket", "belongs to the backend `s3`", hint: "remove")
        for key in ["secretRef: a", "tls: {}", "proxy: http://p:1"] {
            try expect(
                file(key), at: (5, 7), "\(Self.path).\(key.prefix { $0 != ":" })", "no meaning for the backend `file`",
                hint: "remove")
        }
    }

    @Test(arguments: ["token", "password", "apiKey", "secretAccessKey"])
    func credentialsAreRefusedAndNotRepeated(_ key: String) throws {
        try expect(
            splunk("\(key): hunter2"), at: (6, 7), "\(Self.path).\(key)", "credentials do not belong in this file",
            hint: "put them into the secret that `secretRef` names")
        #expect(!problems(splunk("\(key): hunter2")).description.contains("hunter2"))
    }

    @Test func names() throws {
        try expect(
            file("name: a/b"), at: (5, 13), "\(Self.path).name", "`a/b` is not a name", hint: nil)
        try expect(
            file("name: \(String(repeating: "a", count: 64))"), at: (5, 13), "\(Self.path).name", "longer than 63",
            hint: nil)
        let entry = "{name: a, backend: file, endpoint: \"file:///"
        try expect(
            "export:\n  targets:\n    - \(entry)a\"}\n    - \(entry)b\"}\n", at: (4, 8), "export.targets[1].name",
            "the name `a` is taken by the target in line 3", hint: "a name of its own")
        try expect(
            "export:\n  targets:\n    - {name: file-1, backend: file, endpoint: \"file:///a\"}\n"
                + "    - {backend: file, endpoint: \"file:///b\"}\n", at: (4, 7), "export.targets[1].name",
            "the name `file-1` is taken", hint: "of its own")
    }

    @Test func filesOfTwoTargetsDoNotMix() throws {
        try expect(
            "export:\n  targets:\n    - {backend: file, endpoint: \"file:///a/\"}\n"
                + "    - {backend: file, endpoint: \"file:///a\"}\n", at: (4, 23), "export.targets[1].endpoint",
            "the target `file-0` writes into the same directory", hint: "of its own")
    }

    @Test func tooManyTargets() throws {
        let many = (0...64).map { "    - {backend: file, endpoint: \"file:///\($0)\"}\n" }.joined()
        try expect(
            "export:\n  targets:\n" + many, at: (3, 5), "export.targets", "65 entries; at most 64", hint: nil)
    }

    @Test func secrets() throws {
        try expect(
            target(["backend: splunk", "endpoint: https://a"]), at: (3, 7), "\(Self.path).secretRef",
            "is missing; the backend `splunk` needs a token", hint: "key `token`")
        // At once with what else is missing.
        #expect(problems(target(["backend: splunk"])).count == 2)
        #expect(problems(target(["backend: elasticsearch"])).count == 1)
        let open = ["backend: elasticsearch", "endpoint: https://es.example.com"]
        try expect(
            target(open), at: (3, 7), "\(Self.path).secretRef", "only an Elasticsearch on this machine",
            hint: "`username` and `password`, or `apiKey`")
        for host in ["localhost", "127.0.0.1", "127.255.0.9:9200", "[::1]:9200"] {
            #expect(problems(target(["backend: elasticsearch", "endpoint: https://\(host)"])).isEmpty)
        }
        for name in ["a/b", "../a", "..", ".", "a\\\\b", "a b", ".hidden", "a..b", "/etc/passwd"] {
            try expect(
                target(["backend: splunk", "endpoint: https://a", "secretRef: \"\(name)\""]), at: (5, 18),
                "\(Self.path).secretRef", "is not the name of a secret", hint: "the name only")
        }
    }

    @Test func namesOfIndices() throws {
        try expect(
            elasticsearch("index: Audit"), at: (6, 14), "\(Self.path).index", "`Audit` cannot be the name of an index",
            hint: "did you mean `audit`?")
        for name in ["-a", "_a", ".a", "a*b", "a,b", "a\\\"b", "a b", "ü"] {
            try expect(
                elasticsearch("index: \"\(name)\""), at: (6, 14), "\(Self.path).index", "cannot be the name", hint: nil)
        }
        try expect(
            elasticsearch("index: a", "dataStream: b"), at: (7, 7), "\(Self.path).dataStream", "exclude each other",
            hint: "keep one")
    }

    @Test func compression() throws {
        try expect(
            file("compression: gzip"), at: (5, 20), "\(Self.path).compression",
            "`gzip` for the backend `file` is not possible", hint: "set `gzip: true`")
        try expect(
            splunk("compression: zstd"), at: (6, 20), "\(Self.path).compression",
            "unknown value `zstd`; expected one of `none`, `gzip`", hint: nil)
        #expect(problems(file("compression: none")).isEmpty)
    }

    @Test func filesOfGzip() throws {
        let packed = try Configuration.parse(file("gzip: true", "compression: none", "maxFileAge: 1m"), name: "f")
        #expect(packed.targets.first?.compression == .gzip)
        #expect(packed.targets.first?.maxFileAgeMilliseconds == 60_000)
        let plain = try Configuration.parse(file("gzip: false"), name: "f")
        #expect(plain.targets.first?.compression == CompressionKind.none)
        try expect(
            splunk("gzip: true"), at: (6, 7), "\(Self.path).gzip", "belongs to the backend `file`",
            hint: "remove the key")
        try expect(file("gzip: 1"), at: (5, 13), "\(Self.path).gzip", "expected `true` or `false`", hint: "`true`")
    }

    @Test func batches() throws {
        try expect(
            file("batch: {maxRecords: 0}"), at: (5, 27), "\(Self.path).batch.maxRecords", "from 1 to 1000000", hint: nil
        )
        try expect(
            file("batch: {maxBytes: 0}"), at: (5, 25), "\(Self.path).batch.maxBytes", "out of range", hint: nil)
        try expect(
            file("batch: {maxAge: 0}"), at: (5, 23), "\(Self.path).batch.maxAge",
            "`0` is out of range; expected 1ms to 1h",
            hint: nil)
        try expect(
            file("batch: {maxAge: 10 sec}"), at: (5, 23), "\(Self.path).batch.maxAge", "expected a duration such as",
            hint: "did you mean `10s`?")
        for (written, meant) in [("4.5s", "4500ms"), ("1.50m", "90s"), ("0.25h", "15m"), ("2.0", "2s")] {
            try expect(
                file("batch: {maxAge: \(written)}"), at: (5, 23), "\(Self.path).batch.maxAge", "found `\(written)`",
                hint: "did you mean `\(meant)`?")
        }
        try expect(
            file("batch: {maxAge: 0.0001s}"), at: (5, 23), "\(Self.path).batch.maxAge", "found `0.0001s`", hint: nil)
        try expect(
            file("batch: {maxAge: soon}"), at: (5, 23), "\(Self.path).batch.maxAge", "found `soon`", hint: nil)
        try expect(
            file("batch: {maxBytes: 17MiB}"), at: (5, 15), "\(Self.path).batch.maxBytes",
            "17MiB is more than limits.maxQueuedBytesPerTarget, which is 16MiB", hint: "raise the limit")
        try expect(
            file("batch: {maxRecord: 1}"), at: (5, 15), "\(Self.path).batch.maxRecord", "unknown key",
            hint: "did you mean `maxRecords`?")
    }

    @Test func concurrency() throws {
        let remote = ["backend: elasticsearch", "endpoint: https://a", "secretRef: s"]
        try expect(
            target(remote + ["concurrency: {min: 3, max: 2}"]), at: (6, 26), "\(Self.path).concurrency.min",
            "3 is more than max, which is 2", hint: "raise `max`")
        try expect(
            file("concurrency: {max: 2}"), at: (5, 26), "\(Self.path).concurrency.max",
            "2, but a file is written by one batch at a time", hint: "set `max` to 1")
        try expect(
            file("concurrency: {min: 2}"), at: (5, 26), "\(Self.path).concurrency.min", "which is 1 (the default)",
            hint: "raise `max`")
        try expect(
            file("concurrency: {max: 65}"), at: (5, 26), "\(Self.path).concurrency.max", "from 1 to 64", hint: nil)
        try expect(file("concurrency: 4"), at: (5, 20), "\(Self.path).concurrency", "expected a mapping", hint: nil)
    }

    @Test func retries() throws {
        try expect(
            file("retry: {initial: 10m}"), at: (5, 24), "\(Self.path).retry.initial",
            "initial is 10m, more than max, which is 5m (the default)", hint: "initial <= max <= window")
        try expect(
            file("retry: {max: 1h, window: 30m}"), at: (5, 20), "\(Self.path).retry.max",
            "max is 1h, more than window, which is 30m", hint: "<=")
        try expect(
            file("retry: {window: 60}"), at: (5, 23), "\(Self.path).retry.window",
            "max is 5m (the default), more than window, which is 1m", hint: "<=")
        try expect(
            file("retry: {initial: 1h30m}"), at: (5, 24), "\(Self.path).retry.initial", "expected a duration", hint: nil
        )
        #expect(problems(file("retry: {initial: 5s, max: 5s, window: 5s}")).isEmpty)
    }

    @Test func tlsAndProxy() throws {
        try expect(
            splunk("tls: {serverName: \"a/b\"}"), at: (6, 25), "\(Self.path).tls.serverName", "is not a host name",
            hint: nil)
        try expect(
            splunk("tls: {caFile: /a}"), at: (6, 13), "\(Self.path).tls.caFile", "certificates are not named here",
            hint: "`ca.crt`")
        try expect(
            splunk("tls: {insecureSkipVerify: true}"), at: (6, 13), "\(Self.path).tls.insecureSkipVerify",
            "always checked", hint: "`ca.crt`")
        let path = "\(Self.path).proxy"
        try expect(
            splunk("proxy: \"proxy:3128\""), at: (6, 14), path, "has no scheme", hint: "https://proxy:3128")
        try expect(splunk("proxy: http://proxy"), at: (6, 14), path, "has no port", hint: "3128")
        try expect(splunk("proxy: http://proxy:1/a"), at: (6, 14), path, "no path", hint: nil)
        try expect(splunk("proxy: socks5://proxy:1"), at: (6, 14), path, "expected `http://host:port`", hint: nil)
        try expect(
            splunk("proxy: http://u:hunter2@proxy:1"), at: (6, 14), path, "credentials",
            hint: "`proxyUsername` and `proxyPassword`")
        #expect(problems(splunk("proxy: none")).isEmpty)
        #expect(!problems(splunk("proxy: http://u:hunter2@proxy:1")).description.contains("hunter2"))
    }

    @Test func syslogSettings() throws {
        let text = syslog("format: cef", "facility: 10", "appName: probes", "grace: 2s", "vendor: v")
        let target = try #require(Configuration.parse(text, name: "f").targets.first)
        #expect(target.graceMilliseconds == 2_000)
        #expect(target.formatOptions.facility == 10)
        #expect(target.formatOptions.appName == "probes")
        #expect(target.batch == BatchBounds(maxRecords: 2_000, maxBytes: 1_000_000, maxAgeMilliseconds: 1_000))
        let path = Self.path
        for grace in ["49ms", "61s"] {
            try expect(
                syslog("grace: \(grace)"), at: (5, 14), "\(path).grace", "`\(grace)` is out of range", hint: nil)
        }
        try expect(
            splunk("grace: 1s"), at: (6, 7), "\(path).grace", "belongs to the backend `syslog`", hint: "remove the key")
        // There is no structured data around the lines of other formats, and they are never cut.
        try expect(
            syslog("format: cef", "enterpriseId: 1"), at: (6, 7), "\(path).enterpriseId",
            "belongs to the format `syslog`; the format here is `cef`", hint: "change `format`")
        try expect(
            syslog("compression: gzip"), at: (5, 20), "\(path).compression", "the protocol has no compression",
            hint: "use `none`")
        try expect(
            syslog("proxy: http://p:1"), at: (5, 7), "\(path).proxy", "the backend here is `syslog`",
            hint: "remove the key")
    }
}
