/// The version of HTTP an answer came over.
public enum HTTPVersion: String, Sendable {
    /// RFC 1945.
    case http1_0 = "HTTP/1.0"
    /// RFC 9112.
    case http1_1 = "HTTP/1.1"
    /// RFC 9113.
    case http2 = "HTTP/2"
}

/// A complete answer: every byte that its framing promised has arrived.
///
/// An HTTP/1 body that has neither a length nor chunks ends with the connection (RFC 9112 section 6.3). Over TLS
/// the end is authenticated; over plain HTTP a body cut short in that form cannot be recognised by anybody.
public struct HTTPResponse: Sendable, Equatable {
    /// The status code; redirects (3xx) are not followed.
    public let status: Int
    /// The field lines of the final answer as they came, without status line and trailers, each ended by CRLF.
    let fieldLines: [UInt8]
    /// The body.
    public let body: [UInt8]
    /// What the server spoke.
    public let protocolVersion: HTTPVersion

    init(status: Int, fieldLines: [UInt8], body: [UInt8], protocolVersion: HTTPVersion) {
        self.status = status
        self.fieldLines = fieldLines
        self.body = body
        self.protocolVersion = protocolVersion
    }

    /// An answer made by hand, for tests of what reads answers.
    public init(
        status: Int, headers: [(name: String, value: String)] = [], body: [UInt8] = [],
        protocolVersion: HTTPVersion = .http1_1
    ) {
        var lines: [UInt8] = []
        for (name, value) in headers { lines += Array("\(name): \(value)\r\n".utf8) }
        self.init(status: status, fieldLines: lines, body: body, protocolVersion: protocolVersion)
    }

    /// The value of the first field called `name`, whatever its case; spaces around it removed.
    public func header(_ name: String) -> String? {
        let wanted = Array(name.utf8)
        for line in fieldLines.split(separator: 0x0A) {
            guard let colon = line.firstIndex(of: 0x3A),
                line.distance(from: line.startIndex, to: colon) == wanted.count,
                zip(line, wanted).allSatisfy({ lowered($0) == lowered($1) })
            else { continue }
            let value = line[(colon + 1)...].drop(while: isBlank)
            let end = value.lastIndex { !isBlank($0) }
            return end.map { String(decoding: value[...$0], as: UTF8.self) } ?? ""
        }
        return nil
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
