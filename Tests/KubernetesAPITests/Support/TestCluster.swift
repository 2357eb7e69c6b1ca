import Foundation
import Glibc
import HTTPClient
import Model
import Synchronization

@testable import KubernetesAPI

/// A real etcd and a real kube-apiserver on loopback, with RBAC, from the folder that `KUBEBUILDER_ASSETS` names.
///
/// Each process has a shell around it that waits for this process's end and then kills it: nothing stays behind, however the
/// tests end.
final class TestCluster: Sendable {
    struct Trouble: Error, CustomStringConvertible {
        var description: String
    }

    private struct Running {
        let process: Process
        /// Its end is the end of what runs.
        let leash: Pipe
    }

    let scratch: String
    let port: Int
    let etcdPort: Int
    private let assets: String
    private let running = Mutex<[String: Running]>([:])

    /// The cluster of all tests of this process.
    static func shared() async throws -> TestCluster { try await starting.value }

    private static let starting = Task { () throws -> TestCluster in
        let cluster = try TestCluster()
        try await cluster.start()
        return cluster
    }

    private init() throws {
        guard let assets = ClusterAccess.environment("KUBEBUILDER_ASSETS"), !assets.isEmpty else {
            throw Trouble(
                description:
                    "KUBEBUILDER_ASSETS does not name a folder with etcd and kube-apiserver; run `make kube-assets`")
        }
        for program in ["etcd", "kube-apiserver"] {
            guard FileManager.default.isExecutableFile(atPath: "\(assets)/\(program)") else {
                throw Trouble(description: "\(assets) (KUBEBUILDER_ASSETS) has no \(program) that can be executed")
            }
        }
        self.assets = assets
        scratch = FileManager.default.temporaryDirectory.path + "/kubernetes-api-cluster-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: scratch, withIntermediateDirectories: true)
        port = try Self.freePort()
        etcdPort = try Self.freePort()
    }

    func path(_ name: String) -> String { "\(scratch)/\(name)" }

    private static func freePort() throws -> Int {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let failed = unsafe withUnsafeMutablePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe bind(descriptor, $0, length) != 0 || getsockname(descriptor, $0, &length) != 0
            }
        }
        if failed { throw Trouble(description: "no free port") }
        return Int(UInt16(bigEndian: address.sin_port))
    }

    private func start() async throws {
        try await makeCertificates()
        try Data(
            """
            admin-token,admin,1,"system:masters"
            worker-token,worker,2
            nobody-token,nobody,3

            """.utf8
        ).write(to: URL(fileURLWithPath: path("tokens.csv")))
        let peer = try Self.freePort()
        let url = "http://127.0.0.1:\(etcdPort)"
        try launch(
            "etcd",
            [
                "--data-dir", path("etcd"), "--listen-client-urls", url, "--advertise-client-urls", url,
                "--listen-peer-urls", "http://127.0.0.1:\(peer)", "--initial-advertise-peer-urls",
                "http://127.0.0.1:\(peer)", "--initial-cluster", "default=http://127.0.0.1:\(peer)",
            ])
        try startAPIServer()
        try await untilReady()
        try await makeDefinitions()
    }

    func startAPIServer() throws {
        try launch(
            "kube-apiserver",
            [
                "--etcd-servers", "http://127.0.0.1:\(etcdPort)", "--bind-address", "127.0.0.1", "--secure-port",
                "\(port)",
                "--tls-cert-file", path("server.crt"), "--tls-private-key-file", path("server.key"), "--client-ca-file",
                path("ca.crt"), "--token-auth-file", path("tokens.csv"), "--authorization-mode", "RBAC",
                "--service-account-issuer", "https://kubernetes.default.svc", "--service-account-key-file",
                path("server.key"), "--service-account-signing-key-file", path("server.key"),
                "--service-cluster-ip-range", "10.0.0.0/24", "--disable-admission-plugins", "ServiceAccount",
            ])
    }

    /// Kills it at once, as a crash does.
    func stopAPIServer() async throws { try await stop("kube-apiserver") }

    private func launch(_ program: String, _ arguments: [String]) throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/bin/sh")
        process.arguments =
            [
                "-c",
                #"log="$1"; gone="$2"; shift 2; "$@" </dev/null >>"$log" 2>&1 & pid=$!; cat >/dev/null; kill -9 $pid; wait $pid; "#
                    + #"[ -z "$gone" ] || rm -rf "$gone""#,
                "sh", path("\(program).log"), program == "etcd" ? scratch : "", "\(assets)/\(program)",
            ] + arguments
        let leash = Pipe()
        process.standardInput = leash
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        running.withLock { $0[program] = Running(process: process, leash: leash) }
    }

    private func stop(_ program: String) async throws {
        guard let running = running.withLock({ $0.removeValue(forKey: program) }) else { return }
        try? running.leash.fileHandleForWriting.close()
        try await Self.end(of: running.process)
    }

    /// Has a program stand still, or go on: as when its disk or its machine hangs.
    func freeze(_ program: String, _ isFrozen: Bool) async throws {
        let shell = running.withLock { $0[program]?.process.processIdentifier } ?? 0
        let children = try String(contentsOfFile: "/proc/\(shell)/task/\(shell)/children", encoding: .utf8)
        for child in children.split(separator: " ").compactMap({ pid_t($0) }) {
            let name = try String(contentsOfFile: "/proc/\(child)/comm", encoding: .utf8)
            guard program.hasPrefix(name.dropLast()) else { continue }
            guard kill(child, isFrozen ? SIGSTOP : SIGCONT) == 0 else { throw POSIXError(.ESRCH) }
            // A thread that runs stops a moment later, and may answer until then.
            while isFrozen, try !Self.stands(child) { try await Task.sleep(for: .milliseconds(5)) }
            return
        }
        throw Trouble(description: "\(program) does not run")
    }

    private static func stands(_ process: pid_t) throws -> Bool {
        let tasks = "/proc/\(process)/task"
        return try FileManager.default.contentsOfDirectory(atPath: tasks).allSatisfy { task in
            // One that has ended meanwhile stands as well.
            let stat = (try? String(contentsOfFile: "\(tasks)/\(task)/stat", encoding: .utf8)) ?? ") T"
            return stat[(stat.lastIndex(of: ")") ?? stat.startIndex)...].hasPrefix(") T")
        }
    }

    /// Waits without holding up other tests: they have few threads.
    static func end(of process: Process) async throws {
        while process.isRunning { try await Task.sleep(for: .milliseconds(10)) }
    }

    /// The last lines that a program wrote.
    func log(_ program: String) -> String {
        let text = (try? String(contentsOfFile: path("\(program).log"), encoding: .utf8)) ?? ""
        return text.split(separator: "\n").suffix(15).joined(separator: "\n")
    }

    /// Waits until the server says that it is ready, own resources included.
    func untilReady() async throws {
        let client = HTTPClient(environment: .none)
        let request = HTTPRequest(
            method: .get, url: "https://127.0.0.1:\(port)/readyz",
            headers: [HTTPHeader("Authorization", "Bearer admin-token")],
            timeouts: HTTPTimeouts(connect: 1_000, firstByte: 5_000, total: 5_000),
            tls: TLSSettings(caFile: path("ca.crt")), proxy: "")
        for _ in 0..<600 {
            if (try? await client.send(request))?.status == 200 {
                await client.shutdown()
                return
            }
            try await Task.sleep(for: .milliseconds(100))
        }
        await client.shutdown()
        throw Trouble(description: "kube-apiserver does not get ready\n\(log("kube-apiserver"))\n\(log("etcd"))")
    }

    // MARK: Access

    func access(_ user: ClusterUser = .certificateOnly) -> ClusterAccess {
        ClusterAccess(
            server: "https://127.0.0.1:\(port)", tls: TLSSettings(caFile: path("ca.crt")), user: user, proxy: "",
            origin: "a test")
    }

    func client(token: String) -> KubernetesClient { client(access(.token(Secret(token)))) }

    func client(_ access: ClusterAccess) -> KubernetesClient { KubernetesClient(access, environment: .none, seed: 1) }

    /// A request of etcd's JSON gateway.
    func etcd(_ path: String, _ body: String) async throws -> String {
        let client = HTTPClient(environment: .none)
        let response = try await client.send(
            HTTPRequest(
                method: .post, url: "http://127.0.0.1:\(etcdPort)\(path)", body: SealedBytes(Array(body.utf8)),
                proxy: ""))
        await client.shutdown()
        return String(decoding: response.body, as: UTF8.self)
    }
}
