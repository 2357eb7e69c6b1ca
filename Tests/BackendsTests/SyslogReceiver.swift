import FoundationEssentials
import Glibc
import Synchronization
import Threading

/// A receiver on loopback whose every byte is the test's: one thread to accept, one for each connection.
final class SyslogReceiver: Sendable {
    /// One accepted connection, for the thread of its script.
    struct Connection {
        /// Counts the accepted connections, from 1.
        let number: Int
        let descriptor: Int32

        /// Reads `count` bytes, or what comes until the end.
        func read(_ count: Int = .max) -> [UInt8] {
            var bytes: [UInt8] = []
            var piece = [UInt8](repeating: 0, count: 64 << 10)
            while bytes.count < count {
                let wanted = min(piece.count, count - bytes.count)
                let got = unsafe piece.withUnsafeMutableBytes { unsafe recv(descriptor, $0.baseAddress, wanted, 0) }
                guard got > 0 else { return bytes }
                bytes += piece[..<got]
            }
            return bytes
        }

        func send(_ bytes: [UInt8]) {
            _ = unsafe bytes.withUnsafeBytes {
                unsafe Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
        }

        /// The connection's end will be a reset.
        func resetAtEnd() {
            var option = linger(l_onoff: 1, l_linger: 0)
            unsafe setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
        }
    }

    private struct State {
        var accepted = 0
        var open: Set<Int32> = []
        var received: [Int: [UInt8]] = [:]
        var isStopped = false
    }

    let port: Int
    private let listener: Int32
    private let state = Mutex(State())

    /// How many connections came.
    var accepted: Int { state.withLock { $0.accepted } }
    /// How many of them the scripts have not ended.
    var open: Int { state.withLock { $0.open.count } }
    /// What the script of connection `number` returned.
    func received(_ number: Int) -> [UInt8]? { state.withLock { $0.received[number] } }

    /// - Parameter script: what to do with a connection, which is closed then; returns what it read.
    init(_ script: @escaping @Sendable (Connection) -> [UInt8]) throws {
        listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let (socket, size) = (listener, length)
        let failed = unsafe withUnsafeMutablePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe bind(socket, $0, size) != 0 || listen(socket, 64) != 0 || getsockname(socket, $0, &length) != 0
            }
        }
        if failed { throw CocoaError(.fileReadUnknown) }
        port = Int(UInt16(bigEndian: address.sin_port))
        pthread_detach(try SystemThread.start { self.acceptAll(script) }.get())
    }

    /// Ends everything.
    func stop() {
        let open = state.withLock { state in
            state.isStopped = true
            return state.open
        }
        shutdown(listener, Int32(SHUT_RDWR))
        for descriptor in open { shutdown(descriptor, Int32(SHUT_RDWR)) }
    }

    private func acceptAll(_ script: @escaping @Sendable (Connection) -> [UInt8]) {
        while true {
            let descriptor = accept(listener, nil, nil)
            guard descriptor >= 0 else { break }
            let number = state.withLock { state in
                state.accepted += 1
                state.open.insert(descriptor)
                return state.accepted
            }
            let thread = SystemThread.start {
                let bytes = script(Connection(number: number, descriptor: descriptor))
                self.state.withLock { state in
                    state.received[number] = bytes
                    _ = state.open.remove(descriptor)
                }
                close(descriptor)
            }
            if case .success(let thread) = thread { pthread_detach(thread) }
        }
        close(listener)
    }
}

/// Holds threads until it is raised.
final class Flag: Sendable {
    private let state = Mutex(false)

    var isRaised: Bool { state.withLock { $0 } }

    func raise() { state.withLock { $0 = true } }

    func wait() { while !isRaised { usleep(5_000) } }
}
