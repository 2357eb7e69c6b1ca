import Foundation
import Glibc
import Model
import Synchronization
import Testing

@testable import Crypto
@testable import PeerTransport

/// Strangers by the thousand, each of whom has the server go through the costly half of a handshake and no further.
struct FloodTests {
    /// What one flood did.
    private struct Outcome {
        /// The longest that the echo of a heartbeat took, ms.
        var longestBeat = 0.0
        var beats = 0
        /// Of the process, when all strangers have gone.
        var residentBytes = 0
    }

    /// One thread of the server serves both. The worker's session goes on as if nobody were there, and the strangers leave
    /// no memory behind.
    @Test func strangersByTheThousandDelayNobodyAndLeaveNothing() async throws {
        let files = try await Certificates.shared.value
        let cluster = try await Cluster.start(files.security("c0"))
        let client = try PeerClient(security: files.security("w0"))
        let near = try await client.connect(host: "127.0.0.1", port: cluster.server.port)
        let far = try await cluster.accept()
        let echo = Task { while let next = try await far.receive() { try await far.send(next) } }
        let stranger = try TLSPair(try TLSPair.Contexts(files)).client
        _ = try stranger.handshake()
        let hello = stranger.sent()
        var outcomes: [Outcome] = []
        for _ in 0..<4 { outcomes.append(try await flood(cluster.server.port, hello, near)) }
        // A worker's lease has ten seconds, and a heartbeat is sent four times in it. About a fiftieth of it was measured.
        for outcome in outcomes { #expect(outcome.longestBeat < 10_000 && outcome.beats > 0) }
        // The first ones fill what malloc keeps.
        let growth = outcomes[3].residentBytes - outcomes[1].residentBytes
        #expect(growth < 40 << 20, "\(growth) bytes more after \(2 * Self.strangers) strangers")
        echo.cancel()
        await client.shutdown()
        await cluster.server.shutdown()
    }

    private static let strangers = 2_000

    private func flood(_ port: Int, _ hello: [UInt8], _ worker: PeerConnection) async throws -> Outcome {
        let gone = Counter()
        for _ in 0..<2 {
            Thread {
                while gone.value < Self.strangers {
                    let sockets = (0..<250).compactMap { _ in try? RawSocket(port: port) }
                    for socket in sockets { socket.send(hello) }
                    var byte: UInt8 = 0
                    for socket in sockets {
                        _ = unsafe recv(socket.descriptor, &byte, 1, 0)
                        gone.count()
                    }
                }
            }.start()
        }
        var outcome = Outcome()
        while gone.value < Self.strangers {
            let sent = ContinuousClock.now
            try await worker.send(frame(20, seed: UInt64(outcome.beats)))
            #expect(try await worker.receive() != nil)
            outcome.longestBeat = max(outcome.longestBeat, (ContinuousClock.now - sent) / .milliseconds(1))
            outcome.beats += 1
            try await Task.sleep(for: .milliseconds(5))
        }
        outcome.residentBytes = try residentBytes()
        return outcome
    }

    private func residentBytes() throws -> Int {
        let pages = try String(contentsOfFile: "/proc/self/statm", encoding: .utf8).split(separator: " ")
        return try #require(pages.count > 1 ? Int(pages[1]) : nil) * Int(sysconf(Int32(_SC_PAGESIZE)))
    }
}
