import Glibc

/// A blocking socket, closed at the end of its life.
struct RawConnection: ~Copyable {
    let descriptor: Int32

    init(port: Int) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw RawHTTP.Failure(what: "socket", code: errno) }
        var limit = timeval(tv_sec: 20, tv_usec: 0)
        unsafe setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = UInt16(port).bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        let connected = unsafe withUnsafePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard connected == 0 else { throw RawHTTP.Failure(what: "connect", code: errno) }
    }

    deinit { close(descriptor) }

    func send(_ bytes: [UInt8]) throws {
        var sent = 0
        while sent < bytes.count {
            let count = unsafe bytes.withUnsafeBytes { source in
                unsafe Glibc.send(
                    descriptor, source.baseAddress.map { unsafe $0 + sent }, bytes.count - sent, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { throw RawHTTP.Failure(what: "send", code: errno) }
            sent += count
        }
    }
}

/// A client for tests: one blocking socket per request, the answer read until the server closes.
struct RawHTTP {
    struct Answer {
        var status: Int
        var headers: [String: String]
        var body: [UInt8]

        var text: String { String(decoding: body, as: UTF8.self) }
    }

    struct Failure: Error, Equatable {
        var what: String
        var code: Int32
    }

    var port: Int

    /// Sends one request on a connection of its own.
    @concurrent func send(
        _ method: String, _ path: String, headers: [String: String] = [:], body: [UInt8] = []
    ) async throws -> Answer {
        var fields = headers
        fields["Host"] = "127.0.0.1"
        fields["Connection"] = "close"
        if fields["Content-Length"] == nil { fields["Content-Length"] = String(body.count) }
        let lines = fields.map { "\($0.key): \($0.value)\r\n" }.joined()
        return try exchange(Array("\(method) \(path) HTTP/1.1\r\n\(lines)\r\n".utf8) + body)
    }

    /// Sends bytes as they are and reads to the end.
    func exchange(_ bytes: [UInt8]) throws -> Answer {
        let connection = try RawConnection(port: port)
        try connection.send(bytes)
        return try Self.parse(try Self.readAll(connection.descriptor))
    }

    private static func readAll(_ descriptor: Int32) throws -> [UInt8] {
        var all: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let count = unsafe piece.withUnsafeMutableBytes { unsafe recv(descriptor, $0.baseAddress, $0.count, 0) }
            if count == 0 { return all }
            guard count > 0 else { throw Failure(what: "recv", code: errno) }
            all += piece[0..<count]
        }
    }

    private static func parse(_ bytes: [UInt8]) throws -> Answer {
        var rest = bytes[...]
        var answer = try parseHead(&rest)
        // 100 Continue comes before the real one.
        if answer.status == 100 { answer = try parseHead(&rest) }
        answer.body = answer.headers["transfer-encoding"] == "chunked" ? try unchunk(rest) : [UInt8](rest)
        return answer
    }

    private static func line(_ rest: inout ArraySlice<UInt8>) throws -> String {
        guard let end = rest.firstIndex(of: 10), end > rest.startIndex else {
            throw Failure(what: "no answer", code: 0)
        }
        let line = String(decoding: rest[rest.startIndex..<end - 1], as: UTF8.self)
        rest = rest[(end + 1)...]
        return line
    }

    private static func parseHead(_ rest: inout ArraySlice<UInt8>) throws -> Answer {
        let status = Int(try line(&rest).split(separator: " ")[1]) ?? 0
        var headers: [String: String] = [:]
        while case let field = try line(&rest), !field.isEmpty {
            let parts = field.split(separator: ":", maxSplits: 1)
            let value = parts[1].drop { $0 == " " }
            headers[parts[0].lowercased()] = headers[parts[0].lowercased()].map { $0 + ", " + value } ?? String(value)
        }
        return Answer(status: status, headers: headers, body: [])
    }

    private static func unchunk(_ bytes: ArraySlice<UInt8>) throws -> [UInt8] {
        var rest = bytes
        var body: [UInt8] = []
        while let size = Int(try line(&rest), radix: 16), size > 0 {
            body += rest.prefix(size)
            rest = rest.dropFirst(size + 2)
        }
        return body
    }
}
