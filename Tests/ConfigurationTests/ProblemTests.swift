import Configuration
import Testing

/// Mistakes outside of the targets, and how problems are shown.
@Suite struct ProblemTests {
    @Test func allMistakesOfAFileComeAtOnceInOrder() {
        let text = """
            global: {impactLevel: hihg, fips: yes}
            adit: {retentionDays: 3}
            audit: {retentionDays: 0, retentionDays: 5}
            export:
              targets:
                - backend: splunk
                  formt: json
                  endpoint: splunk.example.com:8088
                  endpoint: https://b
                - backend: file
                  endpoint: file:///var/log
                  batch: [1]
                  index: a
            """
        let found = problems(text).map { "\($0)" }
        #expect(
            found == [
                """
                values.yaml:1:23: global.impactLevel: unknown value `hihg`; expected one of `high`, `moderate`, `low`
                    hint: did you mean `high`?
                """,
                """
                values.yaml:1:35: global.fips: expected `true` or `false`, found `yes`
                    hint: write `true`
                """,
                """
                values.yaml:2:1: adit: unknown key
                    hint: did you mean `audit`?
                """,
                "values.yaml:3:24: audit.retentionDays: expected a whole number from 1 to 36500 days, found `0`",
                """
                values.yaml:3:27: audit.retentionDays: given twice; the first is in line 3
                    hint: keep one of them
                """,
                """
                values.yaml:6:7: export.targets[0].secretRef: is missing; the backend `splunk` needs a token
                    hint: name the secret whose key `token` holds the HEC token
                """,
                """
                values.yaml:7:7: export.targets[0].formt: unknown key
                    hint: did you mean `format`?
                """,
                """
                values.yaml:8:17: export.targets[0].endpoint: has no scheme; expected `https://host:port`
                    hint: did you mean `https://splunk.example.com:8088`?
                """,
                """
                values.yaml:9:7: export.targets[0].endpoint: given twice; the first is in line 8
                    hint: keep one of them
                """,
                "values.yaml:12:14: export.targets[1].batch: expected a mapping (`key: value` lines), found a list",
                """
                values.yaml:13:7: export.targets[1].index: belongs to the backends `splunk`, `elasticsearch`; \
                the backend here is `file`
                    hint: remove the key
                """,
            ])
    }

    @Test func noTargets() throws {
        let hint = "start with `export:`"
        try expect("global: {fips: false}\n", at: (1, 1), "export.targets", "no targets", hint: hint)
        try expect("export:\n", at: (1, 1), "export.targets", "no targets", hint: hint)
        try expect("\nexport: {targets: }\n", at: (2, 10), "export.targets", "no targets", hint: hint)
        try expect("export: {targets: []}\n", at: (1, 10), "export.targets", "no targets", hint: "at least one")
    }

    @Test func wrongKindsOfValues() throws {
        try expect("- a\n", at: (1, 1), "", "expected a mapping (`key: value` lines), found a list", hint: nil)
        try expect(
            "export: 5\n", at: (1, 9), "export", "expected a mapping (`key: value` lines), found a number", hint: nil)
        try expect(
            "export:\n  targets: {a: 1}\n", at: (2, 12), "export.targets", "expected a list, found a mapping",
            hint: "start each entry with `- `")
        try expect(
            "export:\n  targets:\n    - splunk\n", at: (3, 7), "export.targets[0]", "expected a mapping",
            hint: nil)
        try expect(
            file(head: "global: {clusterName: 12}"), at: (5, 23), "global.clusterName", "expected text, found a number",
            hint: "put it in quotes: `\"12\"`")
        try expect(
            file(head: "global: {clusterName: true}"), at: (5, 23), "global.clusterName",
            "expected text, found true or false", hint: "\"true\"")
        try expect(
            file(head: "global: {clusterName: [a]}"), at: (5, 23), "global.clusterName", "expected text, found a list",
            hint: nil)
        try expect(
            file(head: "global: {clusterName: \"\"}"), at: (5, 23), "global.clusterName", "is empty",
            hint: "remove the key")
        try expect(
            file(head: "global: {clusterName: \"a\\nb\"}"), at: (5, 23), "global.clusterName", "line break", hint: nil)
        try expect(
            file(head: "global: {fips: \"true\"}"), at: (5, 16), "global.fips", "expected `true` or `false`",
            hint: "write `true` without quotes")
        try expect(
            file(head: "audit: {retentionDays: \"30\"}"), at: (5, 24), "audit.retentionDays",
            "a whole number, found `30`",
            hint: "remove the quotes")
        try expect(
            file(head: "audit: {retentionDays: 1.5}"), at: (5, 24), "audit.retentionDays", "from 1 to 36500 days",
            hint: nil)
        try expect(
            file(head: "audit: {retentionDays: 99999999999999999999}"), at: (5, 24), "audit.retentionDays",
            "from 1 to 36500 days", hint: nil)
        try expect(
            file(head: "global: {clusterName: !!binary YQ==}"), at: (5, 23), "global.clusterName", "tags are not used",
            hint: "without it")
        try expect(
            file(head: "? [a, b]\n: 1\n"), at: (5, 3), "", "a key must be text, and this one is a list",
            hint: "in quotes")
    }

    @Test func unknownKeys() throws {
        try expect(file(head: "Global: {}"), at: (5, 1), "Global", "unknown key", hint: "did you mean `global`?")
        try expect(
            file(head: "prometheus: {}"), at: (5, 1), "prometheus", "unknown key", hint: "starts with `x-`")
        try expect(file(head: "targets: []"), at: (5, 1), "targets", "unknown key", hint: "below `export`")
        try expect(file(head: "<<: {a: 1}"), at: (5, 1), "`<<`", "merge keys", hint: "write the keys")
        try expect(
            file(head: "global: {cluster_name: a}"), at: (5, 10), "global.cluster_name", "unknown key",
            hint: "did you mean `clusterName`?")
        try expect(
            file(head: "audit: {resumeOn: recovry}"), at: (5, 19), "audit.resumeOn",
            "unknown value `recovry`; expected one of `acknowledgement`, `recovery`", hint: "did you mean `recovery`?")
        try expect(
            file(head: "audit: {zzz: 1}"), at: (5, 9), "audit.zzz", "unknown key",
            hint:
                "known keys here: `failClosedOnExportFailure`, `resumeOn`, `failureThreshold`, `ageLimit`, `retentionDays`"
        )
        try expect(file(head: "tls: {require: true}"), at: (5, 7), "tls.require", "unknown key", hint: "`required`")
        try expect(
            file(head: "limits: {maxRecordBytess: 1}"), at: (5, 10), "limits.maxRecordBytess", "unknown key",
            hint: "`maxRecordBytes`")
        #expect(problems(file(head: "x-anything: {a: [1]}")).isEmpty)
    }

    @Test func repeatedKeysAreAllFound() {
        let text = file("\"endpoint\": file:///b", "backend: file", head: "tls: {}\ntls: {}\ntls: {}\n")
        let found = problems(text).map { "\($0.line ?? 0):\($0.column ?? 0) \($0.keyPath) \($0.message)" }
        #expect(
            found == [
                "5:7 export.targets[0].endpoint given twice; the first is in line 4",
                "6:7 export.targets[0].backend given twice; the first is in line 3",
                "8:1 tls given twice; the first is in line 7",
                "9:1 tls given twice; the first is in line 7",
            ])
    }

    @Test func repeatedKeysOfAnySpellingAreFound() {
        let text = file(head: "x-a: 1\n'x-a': 2\n\"x-\\u0061\": 3\nx-é: 1\n\"x-é\": 2\n")
        let found = problems(text).map { "\($0.line ?? 0):\($0.column ?? 0) \($0.keyPath) \($0.message)" }
        #expect(
            found == [
                "6:1 x-a given twice; the first is in line 5", "7:1 x-a given twice; the first is in line 5",
                "9:1 `x-é` given twice; the first is in line 8",
            ])
        #expect(problems("\"\": 1\n\"\": 2\n").contains { $0.line == 2 && $0.message.hasPrefix("given twice") })
    }

    @Test func limits() throws {
        try expect(
            file(head: "limits: {maxRecordBytes: 1kB}"), at: (5, 26), "limits.maxRecordBytes",
            "`1kB` is out of range; expected 4KiB to 15MiB", hint: nil)
        try expect(
            file(head: "limits: {maxQueuedBytesPerTarget: 99999999999999999999GB}"), at: (5, 35),
            "limits.maxQueuedBytesPerTarget", "expected a size", hint: nil)
        try expect(
            file(head: "limits: {maxQueuedBytesPerTarget: 18446744073709551615GB}"), at: (5, 35),
            "limits.maxQueuedBytesPerTarget", "out of range; expected 1MiB to 1GiB", hint: nil)
        try expect(
            file(head: "limits: {maxRecordBytes: 8Mi}"), at: (5, 26), "limits.maxRecordBytes", "expected a size",
            hint: "did you mean `8MiB`?")
        let found = problems(file(head: "limits: {maxRecordBytes: 4MiB, maxQueuedBytesPerTarget: 1MiB}"))
        #expect(
            found.map(\.keyPath) == ["export.targets[0].batch.maxBytes", "limits.maxRecordBytes"])
        #expect(found.first?.message == "4MB (the default) is more than limits.maxQueuedBytesPerTarget, which is 1MiB")
        #expect(found.first?.line == 3)
    }

    @Test func whatIsShownIsHarmlessAndShort() throws {
        let found = try problem(
            file(head: "global: {impactLevel: \"\\e[2Jred\\u202e\(String(repeating: "x", count: 500))\"}"))
        #expect(found.message.contains("\\u{1b}[2Jred\\u{202e}x"))
        #expect(!found.description.unicodeScalars.contains("\u{1B}"))
        #expect(found.message.utf8.count < 250)
        let key = try problem(file(head: "\"a\\tb\": 1"))
        #expect(key.keyPath == "`a\\u{9}b`")
    }
}
