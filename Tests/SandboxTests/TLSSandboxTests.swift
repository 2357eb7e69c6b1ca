import Foundation
import Model
import Sandbox
import Testing

/// The sandbox behind TLS, asked by the `curl` program.
@Suite struct TLSSandboxTests {
    /// Runs a program to its end with its standard output in a file of `directory`.
    static func run(_ arguments: [String], in directory: URL) async throws -> (status: Int32, output: String) {
        let file = directory.appendingPathComponent("out-\(UUID().uuidString)")
        try Data().write(to: file)
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = arguments
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = try FileHandle(forWritingTo: file)
        process.standardError = FileHandle.nullDevice
        try await withCheckedThrowingContinuation { (ended: CheckedContinuation<Void, any Error>) in
            process.terminationHandler = { _ in ended.resume() }
            do { try process.run() } catch { ended.resume(throwing: error) }
        }
        return (process.terminationStatus, String(decoding: try Data(contentsOf: file), as: UTF8.self))
    }

    static func withTLS(_ body: (SandboxServer, URL, [String]) async throws -> Void) async throws {
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent("tls-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        let certificate = directory.appendingPathComponent("tls.crt").path
        let key = directory.appendingPathComponent("tls.key").path
        let made = try await run(
            [
                "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days",
                "2", "-subj", "/CN=sandbox", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out",
                certificate,
            ], in: directory)
        try #require(made.status == 0)
        let curl = ["curl", "--silent", "--show-error", "--max-time", "120", "--cacert", certificate]
        try await withSandbox({ $0.tls = SandboxTLS(certificateFile: certificate, keyFile: key) }) { server in
            #expect(server.hecURL.hasPrefix("https://"))
            try await body(server, directory, curl)
        }
    }

    @Test(arguments: ["--tlsv1.3", "--tls-max=1.2"]) func aLargeBodyArrives(version: String) async throws {
        try await Self.withTLS { server, directory, curl in
            let body = directory.appendingPathComponent("body")
            let documents = (0..<25_000).map { ElasticsearchTests.create("\($0)") }.joined()
            try Data(documents.utf8).write(to: body)
            let options = version.split(separator: "=").map(String.init)
            let sent = try await Self.run(
                curl + options + [
                    "-H", "Content-Type: application/x-ndjson", "--data-binary", "@\(body.path)",
                    "\(server.elasticsearchURL)/_bulk",
                ], in: directory)
            #expect(sent.status == 0)
            #expect(sent.output.hasPrefix(#"{"took":1,"errors":false,"items":["#))
            #expect(sent.output.ranges(of: #""status":201"#).count == 25_000)
            #expect(server.stats().elasticsearch.uniqueIDs == 25_000)
            #expect(documents.utf8.count > 1 << 20)
        }
    }

    @Test func oneConnectionServesManyRequests() async throws {
        try await Self.withTLS { server, directory, curl in
            let url = "\(server.hecURL)/services/collector/health"
            let answer = try await Self.run(
                curl + ["--write-out", " %{num_connects}\n", url, url, url], in: directory)
            #expect(answer.status == 0)
            let healthy = #"{"text":"HEC is healthy","code":17}"#
            #expect(answer.output == "\(healthy) 1\n\(healthy) 0\n\(healthy) 0\n")
        }
    }

    @Test func anInjectedResetHasNoAnswer() async throws {
        try await Self.withTLS { server, directory, curl in
            var faults = SandboxFaults()
            faults.resetRate = 1
            try server.setFaults(faults, of: .hec)
            let request = ["-H", "Authorization: Splunk t0ken", "-d", HECTests.event("a")]
            let answer = try await Self.run(curl + request + ["\(server.hecURL)/services/collector"], in: directory)
            // 56: failure in receiving.
            #expect(answer.status == 56)
            #expect(server.stats().hec.resetsInjected == 1)
        }
    }

    @Test func plainTextAndStrangersAreRefusedAndOthersServed() async throws {
        try await Self.withTLS { server, directory, curl in
            await #expect(throws: RawHTTP.Failure.self) {
                try await RawHTTP(port: server.hecPort).send("GET", "/services/collector/health")
            }
            let url = "\(server.hecURL)/services/collector/health"
            // 60: the certificate is not of a known authority.
            let stranger = try await Self.run(["curl", "--silent", "--max-time", "120", url], in: directory)
            #expect(stranger.status == 60)
            let good = try await Self.run(curl + [url], in: directory)
            #expect(good.output.contains("HEC is healthy"))
        }
    }
}
