internal import NIOCore
internal import NIOHTTP1

/// A receiver that believes everything: it inflates, counts lines and answers success. What it costs per record is
/// the line feed it looks for, so what is measured against it is the sender.
struct NullSink: LookAlike {
    let log: TargetLog
    let maxBodyBytes: Int
    private let real: any LookAlike
    private let isBulk: Bool

    /// - Parameter real: gives the refusals and whatever is no POST.
    init(_ options: SandboxOptions, real: any LookAlike, isBulk: Bool) {
        log = real.log
        maxBodyBytes = options.maxBodyBytes
        self.real = real
        self.isBulk = isBulk
    }

    func carriesRecords(_ head: HTTPRequestHead) -> Bool { real.carriesRecords(head) }
    func refusal(_ status: HTTPResponseStatus) -> HTTPReply { real.refusal(status) }
    func bodyTooLong() -> HTTPReply { real.bodyTooLong() }

    func serve(_ request: HTTPRequest) -> HTTPReply {
        guard carriesRecords(request.head) else { return real.serve(request) }
        let counted: (lines: Int, bytes: Int)
        do throws(HTTPRequest.BodyFault) {
            counted = try request.countLines(limit: maxBodyBytes)
        } catch {
            log.update { $0.stats.requestsRefused += 1 }
            if case .tooLong = error { return bodyTooLong() }
            return refusal(.badRequest)
        }
        // A `_bulk` record is two lines, an envelope of HEC one.
        let records = isBulk ? counted.lines / 2 : counted.lines
        log.update { state in
            state.stats.recordsReceived += records
            state.stats.bytesUncompressed += counted.bytes
        }
        return isBulk ? Self.created(records) : HTTPReply(.ok, json: "{\"text\":\"Success\",\"code\":0}")
    }

    private static func created(_ records: Int) -> HTTPReply {
        var body = ByteBuffer()
        body.reserveCapacity(records * 27 + 32)
        body.writeStaticString("{\"errors\":false,\"items\":[")
        for position in 0..<records {
            body.writeStaticString(position == 0 ? "{\"create\":{\"status\":201}}" : ",{\"create\":{\"status\":201}}")
        }
        body.writeStaticString("]}")
        var reply = HTTPReply(.ok, body)
        reply.headers.add(name: "X-Elastic-Product", value: "Elasticsearch")
        return reply
    }
}
