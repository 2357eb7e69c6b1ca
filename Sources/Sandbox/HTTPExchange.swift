internal import Compression
internal import NIOCore
internal import NIOHTTP1

/// A request whose body has arrived in full.
struct HTTPRequest {
    var head: HTTPRequestHead
    var body: ByteBuffer

    /// The path without the query.
    var path: Substring { head.uri.prefix { $0 != "?" } }

    /// The value of a query item, not percent-decoded; nil if it is absent.
    func query(_ name: String) -> Substring? {
        guard let mark = head.uri.firstIndex(of: "?") else { return nil }
        for item in head.uri[head.uri.index(after: mark)...].split(separator: "&") {
            let parts = item.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            if parts.first == Substring(name) { return parts.count == 2 ? parts[1] : "" }
        }
        return nil
    }

    /// The value of a header; several are joined by commas.
    func header(_ name: String) -> String? {
        let values = head.headers[name]
        return values.isEmpty ? nil : values.joined(separator: ",")
    }

    enum BodyFault: Error {
        case encoding(String)
        case damaged(String)
        case tooLong
    }

    /// Why records were not counted.
    enum CountFault: Error {
        case body(BodyFault)
        case records(RecordFault)

        var description: String {
            switch self {
            case .body(.encoding(let name)): "Content-Encoding \(name) is not known here; gzip is"
            case .body(.damaged(let why)): why
            case .body(.tooLong): "the body is too long"
            case .records(let fault): fault.description
            }
        }
    }

    private func isGzip() throws(BodyFault) -> Bool {
        switch header("Content-Encoding")?.lowercased() {
        case nil, "identity": return false
        case "gzip", "x-gzip": return true
        case .some(let other): throw .encoding(other)
        }
    }

    /// The body, decompressed if it is gzip.
    func plainBody(limit: Int) throws(BodyFault) -> [UInt8] {
        guard try isGzip() else { return [UInt8](body.readableBytesView) }
        do {
            return try Gzip.decompress(body.readableBytesUInt8Span, limit: limit)
        } catch {
            throw Self.fault(error)
        }
    }

    /// Counts the records of the body, decompressed if it is gzip, without keeping them; their delays.
    func count(with counter: inout RecordCounter, limit: Int) throws(CountFault) -> DelayCounts {
        var fault: RecordFault?
        let isPacked: Bool
        do throws(BodyFault) { isPacked = try isGzip() } catch { throw .body(error) }
        if isPacked {
            do throws(CompressionError) {
                var decompressor = try Gzip.Decompressor()
                try decompressor.forEachPiece(of: body.readableBytesUInt8Span, limit: limit) { piece in
                    guard fault == nil else { return }
                    do throws(RecordFault) { try unsafe counter.feed(piece.bytes) } catch { fault = error }
                }
            } catch {
                throw .body(Self.fault(error))
            }
        }
        do throws(RecordFault) {
            if let fault { throw fault }
            if !isPacked { try unsafe counter.feed(body.readableBytesUInt8Span.bytes) }
            return try counter.finish()
        } catch {
            throw .records(error)
        }
    }

    private static func fault(_ error: CompressionError) -> BodyFault {
        if case .overLimit = error.kind { return .tooLong }
        return .damaged(error.description)
    }
}

/// An answer, in one piece or in many.
struct HTTPReply {
    enum Body {
        case whole(ByteBuffer)
        /// Asked for the next piece whenever the one before has been written; nil ends the body.
        case pieces(() -> ByteBuffer?)
    }

    var status: HTTPResponseStatus
    var headers: HTTPHeaders = ["Content-Type": "application/json"]
    var body: Body

    init(_ status: HTTPResponseStatus, _ body: ByteBuffer) {
        self.status = status
        self.body = .whole(body)
    }

    init(_ status: HTTPResponseStatus, json: String) {
        self.init(status, ByteBuffer(string: json))
    }

    /// A refusal with its reason, as JSON.
    init(_ status: HTTPResponseStatus, error: String) {
        var body = ByteBuffer(string: "{\"error\":")
        body.writeJSON(error)
        body.writeStaticString("}\n")
        self.init(status, body)
    }

    init(pieces: @escaping () -> ByteBuffer?) {
        status = .ok
        headers = ["Content-Type": "application/x-ndjson"]
        body = .pieces(pieces)
    }
}

/// What is behind a port.
protocol LookAlike: Sendable {
    var log: TargetLog { get }
    var maxBodyBytes: Int { get }
    /// Whether the request brings records, so that rates apply to it.
    func carriesRecords(_ head: HTTPRequestHead) -> Bool
    /// Whether the request asks for acknowledgements.
    func isPoll(_ head: HTTPRequestHead) -> Bool
    /// Carries the request out.
    func serve(_ request: HTTPRequest) -> HTTPReply
    /// What the real one says with an injected status.
    func refusal(_ status: HTTPResponseStatus) -> HTTPReply
    /// What the real one says to a body over ``maxBodyBytes``.
    func bodyTooLong() -> HTTPReply
}

extension LookAlike {
    func isPoll(_ head: HTTPRequestHead) -> Bool { false }
}
