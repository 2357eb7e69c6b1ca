internal import Crypto
internal import Model
internal import NIOCore
internal import NIOHTTP1

/// A look-alike of Elasticsearch 8, or of OpenSearch 2, for what an exporter uses: cluster information, index templates, `_bulk`.
///
/// Only `create` is accepted, because an audit record must never be overwritten.
struct Elasticsearch: LookAlike {
    let log: TargetLog
    let maxBodyBytes: Int
    /// Values of `Authorization` that are accepted; empty accepts everyone.
    private let credentials: Set<String>
    private let isOpenSearch: Bool
    private let templates = IndexTemplates()

    init(_ options: SandboxOptions, log: TargetLog) {
        self.log = log
        maxBodyBytes = options.maxBodyBytes
        isOpenSearch = options.isOpenSearch
        var credentials: Set<String> = []
        if let username = options.username, let password = options.password {
            credentials.insert("Basic " + Base64.encode(Array("\(username):\(password.reveal())".utf8)))
        }
        if let key = options.apiKey?.reveal() {
            credentials.insert("ApiKey " + (key.contains(":") ? Base64.encode(Array(key.utf8)) : key))
        }
        self.credentials = credentials
    }

    func carriesRecords(_ head: HTTPRequestHead) -> Bool { head.method == .POST }

    func serve(_ request: HTTPRequest) -> HTTPReply {
        var reply = refuseCredentials(request) ?? route(request)
        if reply.status.code >= 400 { log.update { $0.stats.requestsRefused += 1 } }
        reply.headers.add(name: "X-Elastic-Product", value: "Elasticsearch")
        return reply
    }

    private func route(_ request: HTTPRequest) -> HTTPReply {
        let parts = request.path.split(separator: "/").map(String.init)
        switch (request.head.method, parts.count, parts.last) {
        case (.GET, 0, _), (.HEAD, 0, _): return HTTPReply(.ok, json: clusterInformation)
        case (.POST, 1, "_bulk"), (.PUT, 1, "_bulk"): return bulk(request, index: nil)
        case (.POST, 2, "_bulk"), (.PUT, 2, "_bulk"): return bulk(request, index: parts[0])
        case (.PUT, 2, _) where parts[0] == "_index_template": return putTemplate(request, parts[1])
        case (.GET, 2, _) where parts[0] == "_index_template": return getTemplate(parts[1])
        default:
            return Self.failure(
                .badRequest, "illegal_argument_exception",
                "no handler found for uri [\(request.head.uri)] and method [\(request.head.method.rawValue)]")
        }
    }

    func refusal(_ status: HTTPResponseStatus) -> HTTPReply {
        var reply =
            switch status.code {
            case 429:
                Self.failure(
                    status, "es_rejected_execution_exception", "rejected execution of coordinating operation")
            case 503: Self.failure(status, "cluster_block_exception", "blocked by: [SERVICE_UNAVAILABLE/1]")
            default: Self.failure(status, "exception", "failure injected by the sandbox")
            }
        reply.headers.add(name: "X-Elastic-Product", value: "Elasticsearch")
        return reply
    }

    func bodyTooLong() -> HTTPReply { HTTPReply(.payloadTooLarge, ByteBuffer()) }

    private var clusterInformation: String {
        isOpenSearch
            ? """
            {"name":"sandbox","cluster_name":"sandbox","cluster_uuid":"c2FuZGJveC1jbHVzdGVyAA",\
            "version":{"distribution":"opensearch","number":"2.17.0","build_type":"tar","build_snapshot":false,\
            "lucene_version":"9.11.1"},"tagline":"The OpenSearch Project: https://opensearch.org/"}
            """ : Self.elasticsearchInformation
    }

    private static let elasticsearchInformation =
        """
        {"name":"sandbox","cluster_name":"sandbox","cluster_uuid":"c2FuZGJveC1jbHVzdGVyAA",\
        "version":{"number":"8.19.0","build_flavor":"default","build_type":"tar","build_snapshot":false,\
        "lucene_version":"9.12.1","minimum_wire_compatibility_version":"7.17.0",\
        "minimum_index_compatibility_version":"7.0.0"},"tagline":"You Know, for Search"}
        """

    static func failure(_ status: HTTPResponseStatus, _ type: String, _ reason: String) -> HTTPReply {
        var cause = ByteBuffer(string: "\"type\":\"\(type)\",\"reason\":")
        cause.writeJSON(reason)
        var body = ByteBuffer(string: "{\"error\":{\"root_cause\":[{")
        body.writeImmutableBuffer(cause)
        body.writeStaticString("}],")
        body.writeImmutableBuffer(cause)
        body.writeString("},\"status\":\(status.code)}")
        return HTTPReply(status, body)
    }

    private func refuseCredentials(_ request: HTTPRequest) -> HTTPReply? {
        guard !credentials.isEmpty else { return nil }
        let given = request.header("Authorization")
        if let given, credentials.contains(given) { return nil }
        let what = given == nil ? "missing authentication credentials" : "unable to authenticate"
        var reply = Self.failure(
            .unauthorized, "security_exception", "\(what) for REST request [\(request.head.uri)]")
        reply.headers.add(name: "WWW-Authenticate", value: "Basic realm=\"security\", charset=\"UTF-8\"")
        reply.headers.add(name: "WWW-Authenticate", value: "ApiKey")
        return reply
    }

    /// Nil if the type is one of `accepted`; parameters such as a character set are ignored.
    private func refuseType(_ request: HTTPRequest, accepted: Set<String>) -> HTTPReply? {
        let type = request.header("Content-Type") ?? ""
        let bare = type.prefix { $0 != ";" && $0 != " " }.lowercased()
        if accepted.contains(bare) { return nil }
        var body = ByteBuffer(string: "{\"error\":")
        body.writeJSON("Content-Type header [\(type)] is not supported")
        body.writeStaticString(",\"status\":406}")
        return HTTPReply(.notAcceptable, body)
    }

    private func getTemplate(_ name: String) -> HTTPReply {
        guard let body = templates.get(name) else {
            return Self.failure(
                .notFound, "resource_not_found_exception", "index template matching [\(name)] not found")
        }
        var reply = ByteBuffer(string: "{\"index_templates\":[{\"name\":")
        reply.writeJSON(name)
        reply.writeStaticString(",\"index_template\":")
        reply.writeBytes(body)
        reply.writeStaticString("}]}")
        return HTTPReply(.ok, reply)
    }

    private func putTemplate(_ request: HTTPRequest, _ name: String) -> HTTPReply {
        if let refused = refuseType(request, accepted: ["application/json"]) { return refused }
        do throws(HTTPRequest.BodyFault) {
            let body = try request.plainBody(limit: maxBodyBytes)
            guard Self.isObject(body, 0..<body.count) else {
                return Self.failure(.badRequest, "x_content_parse_exception", "the body is not a JSON object")
            }
            if isOpenSearch, String(decoding: body, as: UTF8.self).contains("\"flattened\"") {
                return Self.failure(
                    .badRequest, "mapper_parsing_exception", "No handler for type [flattened] declared on a field")
            }
            guard templates.put(name, body) else {
                return Self.failure(.tooManyRequests, "illegal_state_exception", "the sandbox keeps no more templates")
            }
            return HTTPReply(.ok, json: "{\"acknowledged\":true}")
        } catch {
            return refuse(error)
        }
    }

    private func refuse(_ fault: HTTPRequest.BodyFault) -> HTTPReply {
        switch fault {
        case .tooLong: bodyTooLong()
        case .encoding(let name):
            Self.failure(.badRequest, "x_content_parse_exception", "unknown content encoding [\(name)]")
        case .damaged(let why): Self.failure(.badRequest, "x_content_parse_exception", why)
        }
    }

    static func isObject(_ body: [UInt8], _ range: Range<Int>) -> Bool {
        var scanner = JSONScanner(body, range)
        guard let value = try? scanner.value(), value.kind == .object else { return false }
        scanner.skipWhitespace()
        return scanner.isAtEnd
    }

    private func bulk(_ request: HTTPRequest, index: String?) -> HTTPReply {
        if let refused = refuseType(request, accepted: ["application/json", "application/x-ndjson"]) {
            return refused
        }
        let body: [UInt8]
        let operations: [BulkOperation]
        do throws(HTTPRequest.BodyFault) {
            body = try request.plainBody(limit: maxBodyBytes)
        } catch {
            return refuse(error)
        }
        do throws(BulkFault) {
            operations = try BulkOperation.parse(body, defaultIndex: index)
        } catch {
            return Self.failure(.badRequest, error.type, error.reason)
        }
        let results = log.update { state in
            state.stats.bytesUncompressed += body.count
            return operations.map { BulkResult($0, &state) }
        }
        return BulkResult.reply(results, isFiltered: request.query("filter_path") != nil)
    }
}
