import Foundation
import Glibc
import Synchronization

/// A server of plain HTTP on loopback that answers as it is told, for what a real API server does not do when asked.
final class CannedServer: Sendable {
    enum Answer: Sendable {
        case status(Int, fields: String = "", body: String = "{}")
        /// 200 for whoever brings this token, else 401.
        case token(Mutexed<String>)
        /// 200 with this and more to come, which never does.
        case unfinished(String)
        /// The connection ends.
        case hangUp
        /// Nothing, for so many milliseconds.
        case silence(UInt32)
    }

    let port: Int
    private let listener: Int32
    private let answer: @Sendable (String) -> Answer
    private let heads = Mutex<[String]>([])
    private let accepted = Mutex(0)

    /// What was asked, request by request.
    var requests: [String] { heads.withLock { $0 } }
    /// How many connections came.
    var connections: Int { accepted.withLock { $0 } }

    /// - Parameter answers: the next of them to each request, and then the connection ends.
    convenience init(_ answers: [Answer]) throws {
        let rest = Mutexed(answers)
        try self.init { _ in
            var next = Answer.hangUp
            rest.change { if !$0.isEmpty { next = $0.removeFirst() } }
            return next
        }
    }

    /// - Parameter answer: what is said to a request.
    init(answer: @escaping @Sendable (String) -> Answer) throws {
        self.answer = answer
        listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let (listener, failed) = unsafe withUnsafeMutablePointer(to: &address) { [listener] pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe (
                    listener,
                    bind(listener, $0, length) != 0 || listen(listener, 64) != 0
                        || getsockname(listener, $0, &length) != 0
                )
            }
        }
        if failed { throw POSIXError(.EADDRNOTAVAIL) }
        port = Int(UInt16(bigEndian: address.sin_port))
        Thread { [self] in
            while true {
                let connection = accept(listener, nil, nil)
                guard connection >= 0 else { return }
                accepted.withLock { $0 += 1 }
                Thread { [self] in serve(connection) }.start()
            }
        }.start()
    }

    func stop() { shutdown(listener, Int32(SHUT_RDWR)) }

    private func serve(_ connection: Int32) {
        defer { close(connection) }
        while let head = Self.request(connection) {
            heads.withLock { $0.append(head) }
            switch answer(head) {
            case .hangUp: return
            case .silence(let milliseconds):
                Self.wait(connection, Int32(milliseconds))
                return
            case .unfinished(let body):
                Self.send(connection, "HTTP/1.1 200 X\r\n\r\n\(body)")
                Self.wait(connection, -1)
                return
            case .token(let token):
                Self.answer(connection, head.contains("Bearer \(token.value)\r\n") ? 200 : 401, "", "{}")
            case .status(let status, let fields, let body): Self.answer(connection, status, fields, body)
            }
        }
    }

    /// Waits so many milliseconds, or until the client hangs up.
    private static func wait(_ connection: Int32, _ milliseconds: Int32) {
        var hangUp = pollfd(fd: connection, events: Int16(POLLIN), revents: 0)
        _ = unsafe poll(&hangUp, 1, milliseconds)
    }

    private static func answer(_ connection: Int32, _ status: Int, _ fields: String, _ body: String) {
        send(connection, "HTTP/1.1 \(status) X\r\n\(fields)Content-Length: \(body.utf8.count)\r\n\r\n\(body)")
    }

    private static func send(_ connection: Int32, _ text: String) {
        let bytes = Array(text.utf8)
        _ = unsafe Glibc.send(connection, bytes, bytes.count, Int32(MSG_NOSIGNAL))
    }

    /// Head and body of one request; nil when the client has gone.
    private static func request(_ connection: Int32) -> String? {
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 4_096)
        while true {
            let text = String(decoding: bytes, as: UTF8.self)
            if let end = text.firstRange(of: "\r\n\r\n")?.upperBound {
                let length = text.firstMatch(of: /Content-Length: ([0-9]+)/).flatMap { Int($0.1) } ?? 0
                if text[end...].utf8.count >= length { return text }
            }
            let count = unsafe recv(connection, &piece, piece.count, 0)
            guard count > 0 else { return nil }
            bytes += piece[..<count]
        }
    }
}
