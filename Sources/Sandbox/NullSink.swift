internal import NIOCore
internal import NIOHTTP1

/// A receiver for measuring senders: it inflates, counts records by reading them, and forgets them. It believes who
/// somebody is and what they may do, and takes every record for new; what is no record it refuses, with all of its
/// request, for a count of garbage would prove nothing.
struct NullSink: LookAlike {
    /// What is spoken.
    enum Service {
        case hec, bulk, s3
    }

    let log: TargetLog
    let maxBodyBytes: Int
    private let service: Service
    /// Gives the refusals and whatever brings no records.
    private let real: any LookAlike

    init(_ options: SandboxOptions, _ service: Service, real: any LookAlike) {
        self.service = service
        self.real = real
        log = real.log
        maxBodyBytes = options.maxBodyBytes
    }

    func carriesRecords(_ head: HTTPRequestHead) -> Bool { real.carriesRecords(head) }
    func refusal(_ status: HTTPResponseStatus) -> HTTPReply { real.refusal(status) }
    func bodyTooLong() -> HTTPReply { real.bodyTooLong() }

    func serve(_ request: HTTPRequest) -> HTTPReply {
        guard carriesRecords(request.head) else { return real.serve(request) }
        var counter = RecordCounter(shape, now: RecordTime.now)
        do throws(HTTPRequest.CountFault) {
            let delays = try request.count(with: &counter, limit: maxBodyBytes)
            if service == .s3, let claim = request.header("x-amz-meta-records"), claim != String(counter.records) {
                throw .records(RecordFault(kind: .miscounted(claimed: Int(claim) ?? -1), record: counter.records))
            }
            log.count(records: counter.records, bytes: counter.bytes, delays)
        } catch {
            log.update { state in
                state.stats.requestsRefused += 1
                if case .records = error { state.stats.recordsRejected += 1 }
            }
            if case .body(.tooLong) = error { return bodyTooLong() }
            return HTTPReply(.badRequest, error: error.description)
        }
        return switch service {
        case .hec: HTTPReply(.ok, json: "{\"text\":\"Success\",\"code\":0}")
        case .bulk: Self.created(counter)
        case .s3: NullBucket.stored
        }
    }

    private var shape: RecordCounter.Shape {
        switch service {
        case .hec: .sequence
        case .bulk: .bulk
        case .s3: .lines
        }
    }

    private static func created(_ counter: RecordCounter) -> HTTPReply {
        let item: StaticString =
            counter.isIndex ? "{\"index\":{\"status\":201}}" : "{\"create\":{\"status\":201}}"
        var body = ByteBuffer()
        body.reserveCapacity(counter.records * 27 + 32)
        body.writeStaticString("{\"errors\":false,\"items\":[")
        for position in 0..<counter.records {
            if position > 0 { body.writeStaticString(",") }
            body.writeStaticString(item)
        }
        body.writeStaticString("]}")
        var reply = HTTPReply(.ok, body)
        reply.headers.add(name: "X-Elastic-Product", value: "Elasticsearch")
        return reply
    }
}

/// What an S3 bucket says that is as it should be, and empty ("GetObjectLockConfiguration", "GetBucketVersioning",
/// "CreateMultipartUpload", Amazon S3 API Reference).
struct NullBucket: LookAlike {
    let log: TargetLog
    let maxBodyBytes: Int

    func carriesRecords(_ head: HTTPRequestHead) -> Bool { head.method == .PUT }

    func serve(_ request: HTTPRequest) -> HTTPReply {
        switch request.head.method {
        case .GET where request.query("object-lock") != nil:
            Self.reply(
                .ok,
                "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled></ObjectLockConfiguration>")
        case .GET where request.query("versioning") != nil:
            Self.reply(.ok, "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>")
        case .GET, .HEAD: Self.reply(.notFound, "<Error><Code>NoSuchKey</Code></Error>")
        case .POST where request.query("uploads") != nil:
            Self.reply(
                .ok, "<InitiateMultipartUploadResult><UploadId>null</UploadId></InitiateMultipartUploadResult>")
        case .DELETE: HTTPReply(.noContent, ByteBuffer())
        default: Self.reply(.methodNotAllowed, "<Error><Code>MethodNotAllowed</Code></Error>")
        }
    }

    func refusal(_ status: HTTPResponseStatus) -> HTTPReply {
        Self.reply(status, "<Error><Code>\(status.code == 503 ? "SlowDown" : "InternalError")</Code></Error>")
    }

    func bodyTooLong() -> HTTPReply { Self.reply(.badRequest, "<Error><Code>EntityTooLarge</Code></Error>") }

    static var stored: HTTPReply { reply(.ok, "") }

    private static func reply(_ status: HTTPResponseStatus, _ text: String) -> HTTPReply {
        var reply = HTTPReply(status, ByteBuffer(string: text))
        reply.headers = ["Content-Type": "application/xml", "x-amz-server-side-encryption": "aws:kms"]
        return reply
    }
}
