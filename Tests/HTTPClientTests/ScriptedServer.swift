import Foundation
import Glibc
import Synchronization

/// A plain-HTTP server on loopback whose every byte is the test's: one thread to accept, one for each connection.
final class ScriptedServer: Sendable {
    /// One accepted connection. Only for the thread of its script.
    final class Connection {
        /// Counts the accepted connections, from 1.
        let number: Int
        private let descriptor: Int32
        private var unread: [UInt8] = []

        init(number: Int, descriptor: Int32) {
            self.number = number
            self.descriptor = descriptor
        }

        /// Head and body of the next request; `nil` when the client has gone.
        func nextRequest() -> (head: String, body: [UInt8])? {
            let end = Array("\r\n\r\n".utf8)
            var from = 0
            while true {
                if let at = unread[from...].firstRange(of: end) {
                    let head = String(decoding: unread[..<at.upperBound], as: UTF8.self)
                    unread.removeSubrange(..<at.upperBound)
                    guard let body = take(ScriptedServer.contentLength(head)) else { return nil }
                    return (head, body)
                }
                from = max(0, unread.count - end.count)
                guard fill() else { return nil }
            }
        }

        /// The next `count` bytes; `nil` when the client has gone.
        func take(_ count: Int) -> [UInt8]? {
            while unread.count < count { guard fill() else { return nil } }
            let bytes = Array(unread[..<count])
            unread.removeSubrange(..<count)
            return bytes
        }

        /// Waits until the client closes.
        func drain() {
            repeat { unread.removeAll() } while fill()
        }

        private func fill() -> Bool {
            var piece = [UInt8](repeating: 0, count: 1 << 16)
            let capacity = piece.count
            let count = unsafe piece.withUnsafeMutableBytes { unsafe recv(descriptor, $0.baseAddress, capacity, 0) }
            guard count > 0 else { return false }
            unread += piece[..<count]
            return true
        }

        /// False when the client has gone.
        @discardableResult
        func send(_ bytes: [UInt8]) -> Bool {
            var sent = 0
            while sent < bytes.count {
                let count = unsafe bytes[sent...].withUnsafeBytes {
                    unsafe Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
                }
                guard count > 0 else { return false }
                sent += count
            }
            return true
        }

        @discardableResult
        func send(_ text: String) -> Bool { send(Array(text.utf8)) }

        /// A complete answer with a length.
        @discardableResult
        func answer(_ body: String = "ok", status: String = "200 OK", fields: String = "") -> Bool {
            send("HTTP/1.1 \(status)\r\n\(fields)Content-Length: \(body.utf8.count)\r\n\r\n\(body)")
        }

        /// The connection's end will be an RST instead of a FIN.
        func resetAtEnd() {
            var option = linger(l_onoff: 1, l_linger: 0)
            unsafe setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
        }
    }

    typealias Script = @Sendable (Connection) -> Void

    private struct State {
        var accepted = 0
        var open: Set<Int32> = []
        var stopped = false
    }

    let port: Int
    private let listener: Int32
    private let state = Mutex(State())

    /// How many connections were accepted.
    var accepted: Int { state.withLock { $0.accepted } }
    /// How many connections are open.
    var open: Int { state.withLock { $0.open.count } }

    func url(_ path: String = "/") -> String { "http://127.0.0.1:\(port)\(path)" }

    init(_ script: @escaping Script) throws {
        listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        port = try ScriptedServer.listen(listener)
        let thread = Thread { [self] in acceptAll(script) }
        thread.start()
    }

    private static func listen(_ listener: Int32) throws -> Int {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let failed = unsafe withUnsafeMutablePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe bind(listener, $0, length) != 0 || Glibc.listen(listener, 1024) != 0
                    || getsockname(listener, $0, &length) != 0
            }
        }
        if failed { throw POSIXError(.EADDRNOTAVAIL) }
        return Int(UInt16(bigEndian: address.sin_port))
    }

    /// Ends every connection and the threads.
    func stop() {
        let open = state.withLock { state in
            state.stopped = true
            return state.open
        }
        shutdown(listener, Int32(SHUT_RDWR))
        for descriptor in open { shutdown(descriptor, Int32(SHUT_RDWR)) }
    }

    private func acceptAll(_ script: @escaping Script) {
        while true {
            let descriptor = accept(listener, nil, nil)
            guard descriptor >= 0 else { break }
            let number = state.withLock { state in
                state.accepted += 1
                state.open.insert(descriptor)
                return state.stopped ? 0 : state.accepted
            }
            let thread = Thread { [self] in
                if number > 0 { script(Connection(number: number, descriptor: descriptor)) }
                state.withLock { _ = $0.open.remove(descriptor) }
                close(descriptor)
            }
            thread.stackSize = 256 << 10
            thread.start()
        }
        close(listener)
    }

    private static func contentLength(_ head: String) -> Int {
        for line in head.split(separator: "\r\n") where line.lowercased().hasPrefix("content-length:") {
            return Int(line.dropFirst(15).trimmingPrefix(" ")) ?? 0
        }
        return 0
    }
}
