import Foundation
import Glibc
import Synchronization

/// Hands TCP connections on to another port, and can forget those that are there: then no byte of them passes any more, and nobody
/// is told, as when a load balancer dies.
final class Forwarder: Sendable {
    let port: Int
    private let target: Int
    private let listener: Int32
    private let state = Mutex((generation: 0, accepted: 0))

    /// How many connections came.
    var accepted: Int { state.withLock { $0.accepted } }

    init(to target: Int) throws {
        self.target = target
        listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        let isBound = unsafe Self.address(port: 0) { [listener] in unsafe bind(listener, $0, $1) == 0 }
        guard isBound, listen(listener, 64) == 0 else { throw POSIXError(.EADDRNOTAVAIL) }
        var address = sockaddr_in()
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        unsafe withUnsafeMutablePointer(to: &address) { [listener] pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                _ = unsafe getsockname(listener, $0, &length)
            }
        }
        port = Int(UInt16(bigEndian: address.sin_port))
        Thread { [self] in
            while true {
                let near = accept(listener, nil, nil)
                guard near >= 0 else { return }
                let generation = state.withLock { state in
                    state.accepted += 1
                    return state.generation
                }
                let far = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
                _ = unsafe Self.address(port: target) { unsafe connect(far, $0, $1) == 0 }
                Thread { [self] in pump(near, far, generation) }.start()
                Thread { [self] in pump(far, near, generation) }.start()
            }
        }.start()
    }

    /// No byte of the connections that are there passes any more.
    func forget() { state.withLock { $0.generation += 1 } }

    func stop() { shutdown(listener, Int32(SHUT_RDWR)) }

    private func pump(_ from: Int32, _ to: Int32, _ generation: Int) {
        var piece = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let count = unsafe recv(from, &piece, piece.count, 0)
            // A forgotten connection stays open, and silent.
            guard state.withLock({ $0.generation == generation }) else { return }
            guard count > 0 else { break }
            var sent = 0
            while sent < count {
                let now = unsafe piece[sent..<count].withUnsafeBytes {
                    unsafe send(to, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
                }
                guard now > 0 else { break }
                sent += now
            }
        }
        shutdown(to, Int32(SHUT_RDWR))
    }

    private static func address(
        port: Int, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Bool
    ) -> Bool {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = UInt16(port).bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        return unsafe withUnsafePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe body($0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
    }
}
