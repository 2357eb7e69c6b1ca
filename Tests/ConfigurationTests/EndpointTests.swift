import Configuration
import Model
import Testing

@Suite struct EndpointTests {
    private static let path = "export.targets[0].endpoint"

    private func refused(
        _ endpoint: String, _ message: String, hint: String?, head: String = "",
        _ location: SourceLocation = #_sourceLocation
    ) throws {
        try expect(
            splunk(endpoint: "\"\(endpoint)\"", head: head), at: (4, 17), Self.path, message, hint: hint, location)
    }

    @Test func missing() throws {
        try expect(
            target(["backend: splunk", "secretRef: a"]), at: (3, 7), Self.path, "is missing",
            hint: "`endpoint: https://host:port`")
        try expect(
            target(["backend: file", "endpoint:"]), at: (4, 7), Self.path, "is missing",
            hint: "`endpoint: file:///absolute/directory`")
    }

    @Test func schemes() throws {
        try refused("splunk:8088", "has no scheme", hint: "did you mean `https://splunk:8088`?")
        try refused("splunk/a?token=hunter2", "has no scheme", hint: "did you mean `https://splunk/a`?")
        try refused("htps://splunk", "unknown scheme `htps`", hint: "did you mean `https`?")
        try refused("ftp://splunk", "unknown scheme `ftp`", hint: nil)
        try refused("file:///var/log", "belongs to the backend `file`", hint: "`backend: file`")
    }

    @Test(arguments: [
        "https://user:hunter2@splunk:8088", "https://hunter2@splunk", "user:hunter2@splunk:8088",
        "https://u:hunt/er2@splunk", "https://u:hunter2%40@splunk/?a#b",
    ])
    func credentialsAreRefusedAndNotRepeated(_ endpoint: String) throws {
        try refused(endpoint, "credentials do not belong in this file", hint: "the secret that `secretRef` names")
        let shown = problems(splunk(endpoint: "\"\(endpoint)\"")).description
        #expect(!shown.contains("hunt"))
        #expect(!shown.contains("er2"))
    }

    @Test func plainHTTP() throws {
        let off = "tls: {required: false}\n"
        try refused("http://splunk.example.com", "plain http is refused: records", hint: "use `https://`")
        try refused("http://splunk.example.com", "plain http is refused: records", hint: "use `https://`", head: off)
        for other in ["126.0.0.1", "128.0.0.1", "127.0.0.1.example.com", "localhost.example.com", "[::2]"] {
            try refused("http://\(other)", "plain http is refused: records", hint: "use `https://`", head: off)
        }
        for host in ["127.0.0.1:8088", "127.9.9.9", "[::1]:8088", "localhost:8088", "LOCALHOST"] {
            try refused("http://\(host)", "while `tls.required` is true", hint: "`tls.required: false`")
            #expect(problems(splunk(endpoint: "\"http://\(host)\"", head: off)).isEmpty)
        }
    }

    @Test func hostsAndPorts() throws {
        try refused("https://", "has no host", hint: "https://host:port")
        try refused("https:///a", "has no host", hint: "https://host:port")
        try refused("https://a..b", "`a..b` is not a host name", hint: nil)
        try refused("https://1.2.3.999", "is not an IPv4 address", hint: nil)
        try refused("http://127.1", "is not an IPv4 address", hint: nil, head: "tls: {required: false}")
        try refused("http://0177.0.0.1", "is not an IPv4 address", hint: nil, head: "tls: {required: false}")
        try refused("https://[::1", "has `[` without `]`", hint: "`[::1]`")
        try refused("https://[1:2:3]", "is not an IPv6 address", hint: nil)
        try refused("https://[fe80::1%eth0]", "is not an IPv6 address", hint: nil)
        try refused("https://::1:8088", "several colons", hint: "in brackets")
        try refused("https://a:0", "`:0` is not a port", hint: "1 to 65535")
        try refused("https://a:65536", "is not a port", hint: "1 to 65535")
        try refused("https://a:+80", "is not a port", hint: "1 to 65535")
        try refused("https://a:", "is not a port", hint: "1 to 65535")
        try refused("https://a b", "a space or a character that is not ASCII", hint: "xn--")
        try refused("https://bücher.example", "not ASCII", hint: "xn--")
        try refused("https://a\\\\@b", "credentials", hint: "secret")
    }

    @Test func paths() throws {
        try refused("https://a/?x=1", "must not hold a query", hint: "end it at the path")
        try refused("https://a#x", "fragment", hint: "end it at the path")
        try refused(
            "https://a/services/collector/event", "is added to every request", hint: "end the endpoint at the port")
        try refused("https://a/x/services/collector", "is added", hint: "end the endpoint at `/x`")
        try expect(
            elasticsearch(endpoint: "https://a/_bulk"), at: (4, 17), Self.path, "holds the path `/_bulk`",
            hint: "the port")
    }

    @Test func directories() throws {
        func refused(
            _ endpoint: String, _ message: String, hint: String?, _ location: SourceLocation = #_sourceLocation
        ) throws {
            try expect(file(endpoint: "\"\(endpoint)\""), at: (4, 17), Self.path, message, hint: hint, location)
        }
        let form = "expected `file:///absolute/directory`"
        try refused("/var/log/x", form, hint: "did you mean `file:///var/log/x`?")
        try refused("file:/var/log/x", form, hint: "did you mean `file:///var/log/x`?")
        try refused("log/x", form, hint: "give an absolute directory")
        try refused("file://var/log", form, hint: "did you mean `file:///var/log`?")
        try refused("https://splunk", form, hint: "the backend of this server")
        try refused("file:///a%20b", "`%`", hint: "without percent-encoding")
        try refused("file:///a/../b", "`.` and `..`", hint: nil)
        try refused("file:///", "the root directory is refused", hint: "below it")
    }

    @Test func syslogReceivers() throws {
        func refused(
            _ endpoint: String, _ message: String, hint: String?, head: String = "",
            _ location: SourceLocation = #_sourceLocation
        ) throws {
            try expect(
                syslog(endpoint: "\"\(endpoint)\"", head: head), at: (4, 17), Self.path, message, hint: hint,
                location)
        }
        let off = "tls: {required: false}\n"
        let form = "expected `tls://host:6514`"
        try expect(
            target(["backend: syslog"]), at: (3, 7), Self.path, "is missing", hint: "`endpoint: tls://host:6514`")
        try refused("siem.example.com:6514", form, hint: "did you mean `tls://siem.example.com:6514`?")
        try refused("https://siem.example.com", "unknown scheme `https`; \(form)", hint: "use `tls://`")
        try refused("udp://siem.example.com:514", "UDP loses messages", hint: "syslog over TLS")
        try refused("file:///var/log", "belongs to the backend `file`", hint: nil)
        try refused("tls://siem/a", "a syslog receiver has no path", hint: "at the port")
        try refused("tls://", "has no host", hint: "host:port")
        try refused("tls://u:hunter2@siem", "credentials do not belong", hint: "secret")
        try refused("u:hunter2@siem", "credentials do not belong", hint: "secret")
        try refused("tcp://siem.example.com:514", "plain tcp is refused: records", hint: "use `tls://`", head: off)
        try refused("tcp://127.0.0.1:514", "while `tls.required` is true", hint: "`tls.required: false`")
        try refused("tcp://127.0.0.1", "has no port", hint: "tcp://127.0.0.1:1514", head: off)
        for (given, base) in [
            ("tls://siem", "tls://siem:6514"), ("TLS://Siem:1", "tls://siem:1"),
            ("syslog+tls://siem", "tls://siem:6514"),
            ("tls://[::1]:7", "tls://[::1]:7"), ("tcp://localhost:514", "tcp://localhost:514"),
            ("syslog+tcp://[::1]:514", "tcp://[::1]:514"),
        ] {
            let text = syslog(endpoint: "\"\(given)\"", head: off)
            #expect(try Configuration.parse(text, name: "f").targets.first?.endpoint.base == base)
        }
    }
}
