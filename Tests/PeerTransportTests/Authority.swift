import Crypto
import Foundation
import Glibc
import Model
import NIOCore
import NIOPosix
import Synchronization
import Testing

@testable import PeerTransport

/// A server that keeps to no rule of roles.
final class RogueServer: Sendable {
    let port: Int
    private let group: MultiThreadedEventLoopGroup

    /// - Parameter directory: of its certificate, whatever that is for.
    static func start(_ directory: String) async throws -> RogueServer {
        func file(_ name: String) throws -> SealedBytes {
            SealedBytes(Array(try Data(contentsOf: URL(fileURLWithPath: "\(directory)/\(name)"))))
        }
        let context = try TLSContext(
            peer: .server, authorities: try file("ca.crt"), revocations: nil,
            certificateChain: try file("tls.crt"),
            privateKey: try file("tls.key"), minimum: .v13)
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let channel = try await ServerBootstrap(group: group)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(
                        TLSHandler(peer: context, side: .server, handshakeLimit: .seconds(5), admit: { _ in nil }))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        return RogueServer(channel.localAddress?.port ?? 0, group)
    }

    private init(_ port: Int, _ group: MultiThreadedEventLoopGroup) {
        self.port = port
        self.group = group
    }

    func stop() async { try? await group.shutdownGracefully() }
}

/// Passes the bytes of one connection on, until it is cut: then both ends see an end that nobody announced.
final class Relay: Sendable {
    let port: Int
    private let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    private let ends: Ends

    private final class Ends: Sendable {
        let all = Mutex<[any Channel]>([])
    }

    private final class Copy: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        typealias OutboundOut = ByteBuffer
        let other: any Channel
        init(_ other: any Channel) { self.other = other }
        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            other.writeAndFlush(unwrapInboundIn(data), promise: nil)
        }
    }

    init(to target: Int) async throws {
        let ends = Ends()
        let group = group
        let channel = try await ServerBootstrap(group: group)
            .childChannelOption(.autoRead, value: false)
            .childChannelInitializer { near in
                ClientBootstrap(group: group)
                    .channelInitializer { far in
                        far.eventLoop.makeCompletedFuture { try far.pipeline.syncOperations.addHandler(Copy(near)) }
                    }
                    .connect(host: "127.0.0.1", port: target).flatMapThrowing { far in
                        try near.pipeline.syncOperations.addHandler(Copy(far))
                        ends.all.withLock { $0 += [near, far] }
                    }.flatMap { near.setOption(.autoRead, value: true) }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        port = channel.localAddress?.port ?? 0
        self.ends = ends
    }

    func cut() { for end in ends.all.withLock({ $0 }) { end.close(promise: nil) } }
    func stop() async { try? await group.shutdownGracefully() }
}

extension Certificates {
    /// Signs a certificate for `member` whose extensions are given.
    private func sign(_ member: String, _ extensions: String) async throws {
        try FileManager.default.createDirectory(atPath: path(member), withIntermediateDirectories: true)
        try Data(extensions.utf8).write(to: URL(fileURLWithPath: path("\(member)/extensions")))
        let request = try await Program.run([
            "openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
            "/CN=\(member)", "-keyout", path("\(member)/tls.key"), "-out", path("\(member)/request"),
        ])
        try #require(request.status == 0, "\(request.output)")
        try writeAuthorityConfiguration()
        let signed = try await Program.run(
            [
                "openssl", "ca", "-batch", "-notext", "-config", path("ca.cnf"), "-cert", path("ca.crt"), "-keyfile",
                path("ca.key"), "-in", path("\(member)/request"), "-out", path("\(member)/tls.crt"), "-extfile",
                path("\(member)/extensions"),
            ])
        try #require(signed.status == 0, "\(signed.output)")
        try FileManager.default.copyItem(atPath: path("ca.crt"), toPath: path("\(member)/ca.crt"))
    }

    private func writeAuthorityConfiguration() throws {
        let index = path("index.txt")
        if !FileManager.default.fileExists(atPath: index) { try Data().write(to: URL(fileURLWithPath: index)) }
        let text = """
            [ca]
            default_ca = here
            [here]
            database = \(index)
            new_certs_dir = \(directory.path)
            serial = \(path("serial"))
            rand_serial = yes
            default_md = sha256
            default_days = 2
            default_crl_days = 2
            unique_subject = no
            policy = any
            [any]
            commonName = supplied
            """
        try Data(text.utf8).write(to: URL(fileURLWithPath: path("ca.cnf")))
    }

    func makeForBothPurposes(_ member: String, _ role: String) async throws {
        try await sign(
            member,
            """
            basicConstraints = critical, CA:FALSE
            extendedKeyUsage = clientAuth, serverAuth
            subjectAltName = URI:spiffe://sidereal.local/sidereal-export/\(role)/\(member)
            """)
    }

    /// Puts a revocation list with the certificate of `member` into the directory of `other`.
    func revoke(_ member: String, in other: String) async throws {
        try writeAuthorityConfiguration()
        let authority = ["-config", path("ca.cnf"), "-cert", path("ca.crt"), "-keyfile", path("ca.key")]
        for options in [["-revoke", path("\(member)/tls.crt")], ["-gencrl", "-out", path("\(other)/crl.pem")]] {
            let run = try await Program.run(["openssl", "ca"] + authority + options)
            try #require(run.status == 0, "\(run.output)")
        }
    }
}
