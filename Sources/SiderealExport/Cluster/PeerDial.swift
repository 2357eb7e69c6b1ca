import Configuration
import Crypto
import Model
import PeerTransport
import ShardWorker

/// A connection of the transport, as the worker uses it.
struct CoordinatorConnection: WorkerConnection {
    private let connection: PeerConnection

    init(_ connection: PeerConnection) { self.connection = connection }

    func send(_ frame: SealedBytes) async throws { try await connection.send(frame) }
    func sendUrgently(_ frame: SealedBytes) -> Bool { (try? connection.trySend(frame)) ?? false }
    func receive() async throws -> SealedBytes? { try await connection.receive() }
    func close() async { await connection.close() }
    func abort() { connection.abort() }
    var executor: (any TaskExecutor)? { connection.executor }
}

/// Connects to coordinators: under mutual TLS, or without it to this machine only.
struct PeerDial: Sendable {
    private let client: PeerClient

    /// - Parameter certificates: directory with `ca.crt`, `tls.crt` and `tls.key`; nil for connections to this machine
    ///   without TLS.
    init(certificates: String?, minimum: TLSVersion) throws(PeerError) {
        let security = certificates.map { PeerSecurity.mutualTLS(directory: $0, minimum: minimum) } ?? .loopbackOnly
        client = try PeerClient(security: security, settings: PeerSettings())
    }

    func connect(_ address: String) async throws -> any WorkerConnection {
        let address = try NetworkAddress(address)
        return CoordinatorConnection(try await client.connect(host: address.host, port: address.port))
    }

    func certificateExpiry() -> Int64? { client.certificateExpiry() }

    func shutdown() async { await client.shutdown() }
}
