import Foundation
import Glibc
import Model
import Synchronization
import Testing

@testable import PeerTransport

/// Certificates made by `deploy/local/peer-certificates`, once for all tests of a process.
struct Certificates: Sendable {
    let directory: URL

    /// Members of the authority `ca` and of another one, and one whose certificate has expired.
    static let shared = Task { () async throws -> Certificates in
        let made = try Certificates()
        try await made.make(["coordinator/c0", "worker/w0", "worker/w1@w1.worker.sidereal-export.svc"])
        try await made.make(["coordinator/stranger-c", "worker/stranger-w"], ["AUTHORITY": "other"])
        try await made.make(["worker/expired"], ["DAYS": "-1"])
        try await made.make(["worker/far"], ["TRUST_DOMAIN": "elsewhere.example"])
        return made
    }

    /// A directory of its own, for a test that changes its certificates.
    init() throws {
        directory = FileManager.default.temporaryDirectory.appendingPathComponent("peer-tests-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        Self.removeAtExit(directory)
    }

    func make(_ members: [String], _ environment: [String: String] = [:]) async throws {
        let script = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .appendingPathComponent("../../deploy/local/peer-certificates").standardized
        let run = try await Program.run([script.path, directory.path] + members, environment)
        try #require(run.status == 0, "\(run.output)")
    }

    func path(_ member: String) -> String { directory.appendingPathComponent(member).path }
    func security(_ member: String) -> PeerSecurity { .mutualTLS(directory: path(member)) }

    private static let made = Mutex<[URL]>([])

    private static func removeAtExit(_ directory: URL) {
        let isFirst = made.withLock { made in
            made.append(directory)
            return made.count == 1
        }
        guard isFirst else { return }
        atexit {
            for directory in Certificates.made.withLock({ $0 }) { try? FileManager.default.removeItem(at: directory) }
        }
    }
}

/// Runs an installed program to its end.
struct Program {
    var status: Int32
    var output: String

    static func run(_ arguments: [String], _ environment: [String: String] = [:], input: String = "") async throws
        -> Program
    {
        let directory = FileManager.default.temporaryDirectory
        let (inputFile, outputFile) = (
            directory.appendingPathComponent("in-\(UUID().uuidString)"),
            directory.appendingPathComponent("out-\(UUID().uuidString)")
        )
        defer { for file in [inputFile, outputFile] { try? FileManager.default.removeItem(at: file) } }
        try Data(input.utf8).write(to: inputFile)
        try Data().write(to: outputFile)
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = arguments
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        process.standardInput = try FileHandle(forReadingFrom: inputFile)
        let output = try FileHandle(forWritingTo: outputFile)
        process.standardOutput = output
        process.standardError = output
        try await withCheckedThrowingContinuation { (ended: CheckedContinuation<Void, any Error>) in
            process.terminationHandler = { _ in ended.resume() }
            do { try process.run() } catch { ended.resume(throwing: error) }
        }
        return Program(
            status: process.terminationStatus, output: String(decoding: try Data(contentsOf: outputFile), as: UTF8.self)
        )
    }
}

/// A server with what it refused, and the client of one worker.
final class Cluster: Sendable {
    let server: PeerServer
    private let refusals: Refusals

    private final class Refusals: Sendable {
        let all = Mutex<[PeerError]>([])
    }

    static func start(_ security: PeerSecurity, _ settings: PeerSettings = PeerSettings()) async throws -> Cluster {
        let refusals = Refusals()
        let server = try await PeerServer.start(host: "127.0.0.1", port: 0, security: security, settings: settings) {
            reason in
            refusals.all.withLock { $0.append(reason) }
        }
        return Cluster(server, refusals)
    }

    private init(_ server: PeerServer, _ refusals: Refusals) {
        self.server = server
        self.refusals = refusals
    }

    /// The next peer that was let in.
    func accept() async throws -> PeerConnection {
        var iterator = server.connections.makeAsyncIterator()
        return try #require(await iterator.next())
    }

    /// What was refused so far, at least `count`; waits for them.
    func refused(_ count: Int = 1) async throws -> [PeerError] {
        try await eventually { self.refusals.all.withLock { $0.count } >= count }
        return refusals.all.withLock { $0 }
    }
}

/// Waits until `condition` holds; fails after ten seconds.
func eventually(_ what: String = "", _ condition: () -> Bool) async throws {
    for _ in 0..<2_000 {
        if condition() { return }
        try await Task.sleep(for: .milliseconds(5))
    }
    Issue.record("did not come to be within ten seconds: \(what)")
    throw CancellationError()
}

/// Counts what tasks did.
final class Counter: Sendable {
    private let done = Atomic(0)
    var value: Int { done.load(ordering: .relaxed) }
    func count() { done.add(1, ordering: .relaxed) }
}

/// A plain socket on loopback, for what no peer of ours would do.
final class RawSocket: Sendable {
    let descriptor: Int32

    init(port: Int) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = UInt16(port).bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var limit = timeval(tv_sec: 10, tv_usec: 0)
        unsafe setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        let code = unsafe withUnsafePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        try #require(code == 0, "connect: \(errno)")
    }

    deinit { close(descriptor) }

    /// Returns whether all could be sent.
    @discardableResult func send(_ bytes: [UInt8]) -> Bool {
        unsafe Glibc.send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count
    }

    /// Bytes until the end, or until none came for ten seconds: nil then.
    func readToEnd() -> [UInt8]? {
        var all: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 4_096)
        while true {
            let count = unsafe recv(descriptor, &piece, piece.count, 0)
            if count < 0, errno == EAGAIN { return nil }
            guard count > 0 else { return all }
            all += piece[..<count]
        }
    }

    /// Makes the kernel send a reset instead of an end when the object goes.
    func resetAtClose() {
        var option = linger(l_onoff: 1, l_linger: 0)
        unsafe setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
    }
}
