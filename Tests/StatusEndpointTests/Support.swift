import ExportCore
import Foundation
import Glibc
import HTTPClient
import Logging
import Model
import StatusEndpoint
import Synchronization
import Telemetry
import Testing
import Threading

/// A cluster whose status the test sets.
final class FakeCluster: Sendable {
    private struct State {
        var status: ClusterStatus
        var health = EndpointHealth(isAlive: true, isReady: true)
        var asked = 0
        var isStuck = false
    }

    private let state: Mutex<State>

    init(_ status: ClusterStatus = .sample()) { state = Mutex(State(status: status)) }

    var asked: Int { state.withLock { $0.asked } }
    func change(_ change: (inout ClusterStatus) -> Void) { state.withLock { change(&$0.status) } }
    func set(_ health: EndpointHealth) { state.withLock { $0.health = health } }
    func set(isStuck: Bool) { state.withLock { $0.isStuck = isStuck } }

    var health: EndpointHealth { state.withLock { $0.health } }

    func status() async -> ClusterStatus {
        while true {
            let (status, isStuck) = state.withLock { state in
                state.asked += 1
                return (state.status, state.isStuck)
            }
            guard isStuck else { return status }
            try? await Task.sleep(for: .milliseconds(20))
        }
    }
}

/// An endpoint before a fake cluster, stopped when `body` returns.
func withEndpoint(
    _ cluster: FakeCluster, settings: StatusEndpointSettings = StatusEndpointSettings(),
    _ body: (_ port: Int) async throws -> Void
) async throws {
    var settings = settings
    settings.port = 0
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    let endpoint = StatusEndpoint(
        settings: settings, metrics: MetricRegistry(), logger: logger, status: { await cluster.status() },
        health: { cluster.health })
    let port = try await endpoint.start()
    do {
        try await body(port)
    } catch {
        await endpoint.stop()
        throw error
    }
    await endpoint.stop()
}

/// Fetches `path` as a program does.
func get(_ path: String, _ port: Int, method: HTTPMethod = .get) async throws -> HTTPResponse {
    let client = HTTPClient()
    let answer: Result<HTTPResponse, HTTPFailure>
    do {
        answer = .success(
            try await client.send(HTTPRequest(method: method, url: "http://127.0.0.1:\(port)\(path)", proxy: "")))
    } catch {
        answer = .failure(error)
    }
    await client.shutdown()
    return try answer.get()
}

/// The members of a JSON object.
func object(_ bytes: [UInt8]) throws -> [String: Any] {
    try #require(try JSONSerialization.jsonObject(with: Data(bytes)) as? [String: Any])
}

/// A TCP connection that says what it is told and no more. Blocks a thread of its own.
actor RawClient {
    private let executor = ThreadExecutor()
    private let descriptor: Int32
    private var unread: [UInt8] = []
    nonisolated var unownedExecutor: UnownedSerialExecutor { unsafe executor.asUnownedSerialExecutor() }

    init(_ port: Int) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        address.sin_addr.s_addr = in_addr_t(0x7F00_0001).bigEndian
        let code = unsafe withUnsafePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard code == 0 else { throw SystemError(code: errno) }
        var patience = timeval(tv_sec: 10, tv_usec: 0)
        _ = unsafe setsockopt(
            descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
    }

    deinit {
        _ = Glibc.close(descriptor)
        executor.stop()
    }

    func close() { _ = shutdown(descriptor, Int32(SHUT_RDWR)) }

    /// False if the other side has hung up.
    @discardableResult
    func say(_ text: String) -> Bool {
        let bytes = Array(text.utf8)
        let count = unsafe bytes.withUnsafeBytes {
            unsafe send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
        }
        return count == bytes.count
    }

    /// What came up to and including `mark`; nil if the connection ended before, or after 10 s.
    func hear(until mark: String) -> String? {
        let wanted = Array(mark.utf8)
        while true {
            if let range = unread.firstRange(of: wanted) {
                let text = String(decoding: unread[..<range.upperBound], as: UTF8.self)
                unread.removeSubrange(..<range.upperBound)
                return text
            }
            guard let more = read() else { return nil }
            unread += more
        }
    }

    /// Everything until the other side hangs up; nil if it does not within 10 s.
    func hearAll() -> String? {
        while true {
            guard let more = read() else {
                return errno == EAGAIN ? nil : String(decoding: unread, as: UTF8.self)
            }
            unread += more
        }
    }

    private func read() -> [UInt8]? {
        var buffer = [UInt8](repeating: 0, count: 65_536)
        errno = 0
        let count = unsafe buffer.withUnsafeMutableBytes { unsafe recv(descriptor, $0.baseAddress, $0.count, 0) }
        return count > 0 ? Array(buffer[..<count]) : nil
    }
}
