import ArgumentParser
import Glibc
import Model
import Sandbox
import Threading

/// `sidereal-export sandbox`: receivers to try things out with.
struct SandboxCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sandbox",
        abstract: "Run look-alikes of Splunk HEC and Elasticsearch on this machine.",
        discussion: """
            Both listen on 127.0.0.1 unless --host says otherwise, check requests as the real receivers do, remember which records arrived \
            and how often, and fail when told to. Nothing is written to disk.

            Examples:
              sidereal-export sandbox
                  both, on ports of the kernel's choice, until Ctrl-C
              sidereal-export sandbox --fail-rate 0.1 --latency 20ms
                  every tenth request gets 503, every answer comes 20 ms late
              sidereal-export sandbox --outage 10s --outage-after 5s
                  both are down from the 5th to the 15th second
              sidereal-export sandbox --null
                  count records at little cost, to measure a sender; also as
                  an S3 bucket and a syslog receiver (octet counting)

            While it runs, on any port of HTTP:
              GET  /sandbox/stats   counters of all, as JSON
              GET  /sandbox/arrivals  with --null: when the first record came
                                    (monotonic clock), and how long after its
                                    execution.timestamp each one, as pairs of
                                    microseconds and a count
              GET  /sandbox/ids     every identity that arrived, with its count,
                                    as NDJSON; ?target=hec for one of the two
              POST /sandbox/fault   {"target":"hec","failRate":0.5} and likewise
                                    latencyMs, outageMs, outageAfterMs, status,
                                    retryAfter, itemFailRate, resetRate,
                                    commitThenResetRate, and for HEC with
                                    --acknowledge ackDelayMs, ackFalseRate,
                                    ackLoseRate, ackRefuseRate, ackExpiryMs;
                                    the others stay
            """)

    @Option(help: "Address to listen on; one that other machines reach needs --tls-cert.")
    var host = SandboxOptions().host

    @Option(help: "Port of the HEC look-alike; 0 for a free one.")
    var hecPort = 0

    @Option(help: "Port of the Elasticsearch look-alike; 0 for a free one.")
    var elasticsearchPort = 0

    @Option(help: "HEC token to accept. (default: a fixed one, shown at the start)")
    var token: String?

    @Flag(help: "Have the HEC token acknowledge: requests need a channel and are asked for by their number.")
    var acknowledge = false

    @Option(help: "Elasticsearch user to accept; needs --password.")
    var username: String?

    @Option(help: "Password of --username.")
    var password: String?

    @Option(help: "Elasticsearch API key to accept, as id:key or in base 64. (default: everyone is accepted)")
    var apiKey: String?

    @Flag(help: "Look like OpenSearch instead of Elasticsearch.")
    var opensearch = false

    @Option(help: "Part of the requests that fail with 503, from 0 to 1.")
    var failRate = 0.0

    @Option(help: "Delay of every answer, such as 250ms, 10s or 1m.")
    var latency = DurationArgument(milliseconds: 0)

    @Option(
        help: "Length of an outage during which every request fails, such as 10s or 1m.")
    var outage = DurationArgument(milliseconds: 0)

    @Option(help: "Time until the outage begins, such as 5s.")
    var outageAfter = DurationArgument(milliseconds: 0)

    @Option(help: "Longest accepted body in bytes, compressed or not.")
    var maxBody = SandboxOptions().maxBodyBytes

    @Flag(help: "Count records, each of which must be a JSON object with an identity, and remember none.")
    var null = false

    @Option(help: ArgumentHelp("Serve HTTPS with this PEM certificate chain; needs --tls-key.", valueName: "file"))
    var tlsCert: String?

    @Option(help: ArgumentHelp("PEM private key of --tls-cert.", valueName: "file"))
    var tlsKey: String?

    @Option(help: ArgumentHelp("Write the ports there as JSON once all listen.", valueName: "file"))
    var readyFile: String?

    @Flag(help: "Print JSON lines instead of text.")
    var json = false

    func validate() throws {
        for (name, port) in [("--hec-port", hecPort), ("--elasticsearch-port", elasticsearchPort)]
        where !(0...65_535).contains(port) {
            throw ValidationError("\(name) is \(port), but a port is 0 to 65535.")
        }
        if !(0...1).contains(failRate) {
            throw ValidationError("--fail-rate is \(failRate), but a rate is a probability from 0 to 1.")
        }
        if maxBody < 1 { throw ValidationError("--max-body is \(maxBody), but must be at least 1 byte.") }
        if !host.hasPrefix("127."), host != "::1", tlsCert == nil {
            throw ValidationError("--host \(host) is reached by others; give --tls-cert and --tls-key as well.")
        }
        if (tlsCert == nil) != (tlsKey == nil) {
            throw ValidationError("--tls-cert and --tls-key belong together; give both or neither.")
        }
        if (username == nil) != (password == nil) {
            throw ValidationError("--username and --password belong together; give both or neither.")
        }
        if null, acknowledge {
            throw ValidationError("--null knows no acknowledgements; leave out one of --null and --acknowledge.")
        }
        if outageAfter.milliseconds > 0, outage.milliseconds == 0 {
            throw ValidationError("--outage-after says when an outage begins; say with --outage how long it lasts.")
        }
    }

    func run() async throws {
        let options = self.options
        let signals = StopSignals([SIGINT, SIGTERM])
        let server = try await SandboxServer.start(options)
        let ready = ready(server)
        if let readyFile {
            do throws(ReadyFileError) {
                try replaceFile(readyFile, with: ready + "\n")
            } catch {
                await server.stop()
                throw error
            }
        }
        announce(server, options, ready: ready)
        await signals.first()
        await server.stop()
        say(json ? server.stats().json : "\n" + server.stats().table)
    }

    private func ready(_ server: SandboxServer) -> String {
        var ports = "\"hecPort\":\(server.hecPort),\"elasticsearchPort\":\(server.elasticsearchPort)"
        if let port = server.s3Port { ports += ",\"s3Port\":\(port)" }
        if let port = server.syslogPort { ports += ",\"syslogPort\":\(port)" }
        return "{\(ports)}"
    }

    private var options: SandboxOptions {
        var options = SandboxOptions()
        options.host = host
        options.hecPort = hecPort
        options.elasticsearchPort = elasticsearchPort
        if let token { options.token = Secret(token) }
        options.acknowledge = acknowledge
        options.username = username
        options.password = password.map { Secret($0) }
        options.isOpenSearch = opensearch
        options.apiKey = apiKey.map { Secret($0) }
        options.maxBodyBytes = maxBody
        options.null = null
        options.faults.failRate = failRate
        options.faults.latencyMilliseconds = latency.milliseconds
        options.faults.outageMilliseconds = outage.milliseconds
        options.faults.outageAfterMilliseconds = outageAfter.milliseconds
        if let tlsCert, let tlsKey { options.tls = SandboxTLS(certificateFile: tlsCert, keyFile: tlsKey) }
        return options
    }

    private func announce(_ server: SandboxServer, _ options: SandboxOptions, ready: String) {
        if json { return say(ready) }
        let access = [username.map { "user \($0)" }, apiKey.map { _ in "the API key" }].compactMap { $0 }
        // A token of the user's own choice stays out of logs; the default one is no secret.
        let shown = token == nil ? options.token.reveal() : "as given"
        say("Splunk HEC     \(server.hecURL)   token \(shown)")
        say(
            "Elasticsearch  \(server.elasticsearchURL)   "
                + (access.isEmpty ? "no credentials" : access.joined(separator: " or ")))
        if let s3 = server.s3Port, let syslog = server.syslogPort {
            say("S3             \(options.tls == nil ? "http" : "https")://\(options.host):\(s3)")
            say("syslog         \(options.tls == nil ? "tcp" : "tls")://\(options.host):\(syslog)")
        }
        say("Statistics     \(server.hecURL)/sandbox/stats")
        say("Stop with Ctrl-C" + (null ? "; every record is taken for new, and forgotten" : ""))
    }

    private func say(_ line: String) {
        print(line)
        // Into a pipe as into a terminal: at once.
        _ = fflush(nil)
    }
}

/// Why the ready file was not written.
private struct ReadyFileError: Error, CustomStringConvertible {
    let description: String
}

/// Writes `text` beside `path` and renames it there, so that a reader sees all of it or nothing.
private func replaceFile(_ path: String, with text: String) throws(ReadyFileError) {
    let draft = "\(path).\(getpid()).tmp"
    func failure(_ code: Int32) -> ReadyFileError {
        _ = unsafe unlink(draft)
        let reason = systemErrorText(code)
        return ReadyFileError(description: "--ready-file: cannot write \(path): \(reason)")
    }
    let descriptor = unsafe open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else { throw failure(errno) }
    let bytes = Array(text.utf8)
    let written = unsafe bytes.withUnsafeBytes { unsafe write(descriptor, $0.baseAddress, $0.count) }
    let writeCode = errno
    guard close(descriptor) == 0 else { throw failure(errno) }
    guard written == bytes.count else { throw failure(writeCode) }
    guard unsafe rename(draft, path) == 0 else { throw failure(errno) }
}
