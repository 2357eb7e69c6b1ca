/// The version of HTTP an answer came over.
public enum HTTPVersion: String, Sendable {
    /// RFC 1945.
    case http10 = "HTTP/1.0"
    /// RFC 9112.
    case http11 = "HTTP/1.1"
    /// RFC 9113.
    case http2 = "HTTP/2"
}

/// An answer: the whole header, and every byte of the body that its framing promised.
public struct HTTPResponse: Sendable, Equatable {
    /// The status code; redirects (3xx) are not followed.
    public let status: Int
    /// The field lines of the final answer as they came, without status line and trailers, each ended by CRLF.
    let fieldLines: [UInt8]
    /// The body.
    public let body: [UInt8]
    /// What the server spoke.
    public let protocolVersion: HTTPVersion
    /// Whether a connection was opened for this request; if not, it went over one that was there.
    public var openedConnection = false
    /// Whether something else than the connection's end marks the body's end: a length, chunks, or HTTP/2.
    ///
    /// If not (RFC 9112 section 6.3, number 8; some HTTP/1.0 servers), nobody can tell a whole body from one that was
    /// cut short: libcurl 7.88 takes the end of TCP for the end of TLS, and plain HTTP has no other. The reader of
    /// such a body must recognise its end by itself, as a JSON reader does.
    public var isBodyDelimited: Bool {
        guard protocolVersion != .http2, !body.isEmpty else { return true }
        return header("Content-Length") != nil || header("Transfer-Encoding") != nil
    }

    init(status: Int, fieldLines: [UInt8], body: [UInt8], protocolVersion: HTTPVersion) {
        self.status = status
        self.fieldLines = fieldLines
        self.body = body
        self.protocolVersion = protocolVersion
    }

    /// An answer made by hand, for tests of what reads answers.
    public init(
        status: Int, headers: [(name: String, value: String)] = [], body: [UInt8] = [],
        protocolVersion: HTTPVersion = .http11
    ) {
        var lines: [UInt8] = []
        for (name, value) in headers { lines += Array("\(name): \(value)\r\n".utf8) }
        self.init(status: status, fieldLines: lines, body: body, protocolVersion: protocolVersion)
    }

    /// The value of the first field called `name`, whatever its case; spaces around it removed.
    public func header(_ name: String) -> String? { headers(name).first }

    /// The values of all fields called `name`, in the order they came.
    public func headers(_ name: String) -> [String] {
        let wanted = Array(name.utf8)
        var values: [String] = []
        for line in fieldLines.split(separator: 0x0A) {
            guard let colon = line.firstIndex(of: 0x3A),
                line.distance(from: line.startIndex, to: colon) == wanted.count,
                zip(line, wanted).allSatisfy({ lowered($0) == lowered($1) })
            else { continue }
            let value = line[(colon + 1)...].drop(while: isBlank)
            let end = value.lastIndex { !isBlank($0) }
            values.append(end.map { String(decoding: value[...$0], as: UTF8.self) } ?? "")
        }
        return values
    }
}

/// ASCII lower case.
func lowered(_ byte: UInt8) -> UInt8 {
    byte >= 0x41 && byte <= 0x5A ? byte | 0x20 : byte
}

/// Optional white space around field values (RFC 9110 section 5.6.3), and the CR of the line's end.
private func isBlank(_ byte: UInt8) -> Bool {
    byte == 0x20 || byte == 0x09 || byte == 0x0D
}
