// Bytes per second and CPU seconds per gigabyte through one connection between peers, both ends in this process, one thread
// each. Build it with optimization, or the figures mean nothing: `make bench-transport`.
import Glibc
import Model
import PeerTransport
import Threading

/// User and system time of this process, seconds.
func cpuSeconds() -> Double {
    var usage = rusage()
    unsafe getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    func seconds(_ time: timeval) -> Double { Double(time.tv_sec) + Double(time.tv_usec) / 1e6 }
    return seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

/// A frame whose length field says `length`.
func frame(_ length: Int) -> SealedBytes {
    var writer = ByteWriter(capacity: length + 4)
    for shift in [24, 16, 8, 0] { writer.append(UInt8(truncatingIfNeeded: length >> shift)) }
    for index in 0..<length { writer.append(UInt8(truncatingIfNeeded: index &* 167)) }
    return writer.seal()
}

func padded(_ text: String, _ width: Int) -> String { String(repeating: " ", count: max(0, width - text.count)) + text }

func measure(_ name: String, _ directory: String?, length: Int, total: Int) async throws {
    func security(_ member: String) -> PeerSecurity {
        directory.map { .mutualTLS(directory: "\($0)/\(member)") } ?? .loopbackOnly
    }
    let server = try await PeerServer.start(
        host: "127.0.0.1", port: 0, security: security("coordinator-0"), refused: { reason in print(reason) })
    let client = try PeerClient(security: security("worker-0"))
    let near = try await client.connect(host: "127.0.0.1", port: server.port)
    var peers = server.connections.makeAsyncIterator()
    guard let far = await peers.next() else { return }
    let body = frame(length)
    let count = max(total / body.count, 1)
    let (cpu, start) = (cpuSeconds(), SystemClock.now())
    let sending = Task { for _ in 0..<count { try await far.send(body) } }
    for _ in 0..<count { _ = try await near.receive() }
    try await sending.value
    let wall = Double(SystemClock.now().milliseconds(since: start)) / 1_000
    let gigabytes = Double(count * body.count) / 1e9
    let figures = [gigabytes / wall, (cpuSeconds() - cpu) / gigabytes].map { value in
        padded("\(Double(Int(value * 1_000)) / 1_000)", 8)
    }
    print("\(name)  \(padded("\(length)", 9)) B  \(figures[0]) GB/s  \(figures[1]) CPU-s/GB")
    await client.shutdown()
    await server.shutdown()
}

let directory = CommandLine.arguments.dropFirst().first
for length in [1_000, 64_000, 1_000_000] {
    let total = length == 1_000 ? 200_000_000 : 2_000_000_000
    try await measure("plain", nil, length: length, total: total)
    if let directory { try await measure("TLS  ", directory, length: length, total: total) }
}
