import Configuration
import Model
import Testing

/// The keys of a target that belong to its format.
@Suite struct FormatOptionTests {
    private static let path = "export.targets[0]"

    private func options(_ format: String, _ lines: String...) throws -> FormatOptions {
        let text = target(["backend: file", "endpoint: file:///a", "format: \(format)"] + lines)
        return try #require(Configuration.parse(text, name: "f").targets.first).formatOptions
    }

    @Test(arguments: FormatKind.allCases)
    func everyFormatIsTaken(_ format: FormatKind) throws {
        let text = file("format: \(format.rawValue)")
        let target = try #require(Configuration.parse(text, name: "f").targets.first)
        #expect(target.format == format)
        #expect(target.formatOptions == FormatOptions())
    }

    @Test(arguments: BackendKind.allCases.filter { Capabilities.backends.contains($0) })
    func everyBackendTakesEveryFormat(_ backend: BackendKind) {
        let endpoint =
            switch backend {
            case .file: "file:///a"
            case .syslog: "tls://localhost"
            case .splunk, .elasticsearch, .s3: "https://localhost:1"
            }
        for format in FormatKind.allCases {
            let lines = ["backend: \(backend.rawValue)", "endpoint: \(endpoint)", "format: \(format.rawValue)"]
            let further: [BackendKind: [String]] = [.splunk: ["secretRef: s"], .s3: ["bucket: abc", "region: r"]]
            #expect(problems(target(lines + (further[backend] ?? []))).isEmpty)
        }
    }

    @Test func valuesAreRead() throws {
        let cef = try options("cef", "vendor: Example Corp", "product: Probes", "cefVersion: 1")
        #expect(cef.vendor == "Example Corp")
        #expect(cef.product == "Probes")
        #expect(cef.cefVersion == 1)
        let syslog = try options(
            "syslog", "facility: 0", "appName: \"a]=\\\"b\"", "enterpriseId: 4294967295", "maxMessageBytes: 8KiB")
        #expect(syslog.facility == 0)
        #expect(syslog.appName == "a]=\"b")
        #expect(syslog.enterpriseID == 4_294_967_295)
        #expect(syslog.maxMessageBytes == 8192)
        #expect(try options("syslog", "maxMessageBytes: 480").maxMessageBytes == 480)
        #expect(try options("syslog", "maxMessageBytes: 1MiB", "facility: 23").maxMessageBytes == 1 << 20)
        #expect(try options("leef", "vendor: ü").vendor == "ü")
        #expect(try options("ocsf", "product: p").product == "p")
    }

    @Test(arguments: Capabilities.formatKeys.map(\.key), FormatKind.allCases)
    func aKeyOfAnotherFormatIsAMistake(_ key: String, _ format: FormatKind) throws {
        let formats = try #require(Capabilities.formatKeys.first { $0.key == key }).formats
        guard !formats.contains(format) else { return }
        let plural = formats.count == 1 ? "format" : "formats"
        try expect(
            file("format: \(format.rawValue)", "\(key): [1]"), at: (6, 7), "\(Self.path).\(key)",
            "belongs to the \(plural) `", hint: "remove the key or change `format`")
        #expect(
            try problem(file("format: \(format.rawValue)", "\(key): 1")).message
                .hasSuffix("; the format here is `\(format.rawValue)`"))
    }

    @Test func theDefaultFormatIsNamedAsSuch() throws {
        try expect(
            file("facility: 13"), at: (5, 7), "\(Self.path).facility",
            "belongs to the format `syslog`; the format here is `json` (the default)", hint: "remove the key")
        try expect(
            file("vendor: a"), at: (5, 7), "\(Self.path).vendor", "belongs to the formats `cef`, `leef`, `ocsf`;",
            hint: "change `format`")
    }

    @Test func withoutAKnownFormatNoKeyIsBlamed() throws {
        let found = problems(file("format: sylog", "facility: 13", "cefVersion: 0"))
        #expect(found.map(\.keyPath) == ["\(Self.path).format"])
        #expect(found.first?.hint == "did you mean `syslog`?")
    }

    @Test func suggestionsKnowTheFormat() throws {
        try expect(
            file("format: syslog", "facilty: 1"), at: (6, 7), "\(Self.path).facilty", "unknown key",
            hint: "did you mean `facility`?")
    }

    @Test(arguments: [("cefVersion", "2"), ("cefVersion", "-1")])
    func cefVersions(_ key: String, _ value: String) throws {
        try expect(
            file("format: cef", "\(key): \(value)"), at: (6, 19), "\(Self.path).\(key)",
            "expected a whole number from 0 to 1, found `\(value)`", hint: nil)
    }

    @Test func syslogBounds() throws {
        let path = Self.path
        try expect(
            file("format: syslog", "facility: 24"), at: (6, 17), "\(path).facility", "from 0 to 23, found `24`",
            hint: nil)
        for number in ["0", "4294967296"] {
            try expect(
                file("format: syslog", "enterpriseId: \(number)"), at: (6, 21), "\(path).enterpriseId",
                "from 1 to 4294967295, found `\(number)`", hint: nil)
        }
        for size in ["479", "1048577", "2MiB"] {
            try expect(
                file("format: syslog", "maxMessageBytes: \(size)"), at: (6, 24), "\(path).maxMessageBytes",
                "`\(size)` is out of range; expected 480 to 1MiB", hint: nil)
        }
        for name in ["a b", "ü", String(repeating: "a", count: 49)] {
            try expect(
                file("format: syslog", "appName: \"\(name)\""), at: (6, 16), "\(path).appName",
                "cannot be an APP-NAME: expected 1 to 48 printable ASCII characters", hint: nil)
        }
        #expect(problems(file("format: syslog", "appName: \(String(repeating: "a", count: 48))")).isEmpty)
    }

    @Test func headersHaveBounds() throws {
        try expect(
            file("format: cef", "vendor: \(String(repeating: "a", count: 64))"), at: (6, 15), "\(Self.path).vendor",
            "longer than 63 bytes", hint: nil)
        try expect(
            file("format: leef", "product: \"a\\nb\""), at: (6, 16), "\(Self.path).product",
            "holds a line break or another control character", hint: nil)
    }
}
