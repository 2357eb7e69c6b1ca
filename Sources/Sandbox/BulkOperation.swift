internal import NIOCore
internal import NIOHTTP1

/// Why a whole `_bulk` request is refused.
struct BulkFault: Error {
    var type = "illegal_argument_exception"
    var reason: String
}

/// One `create` of a `_bulk` body.
struct BulkOperation {
    var index: String
    /// Nil lets the server choose.
    var id: String?
    /// Whether the source is one JSON object.
    var isDocument: Bool

    /// Metadata keys that Elasticsearch 8 knows besides `_index` and `_id`.
    private static let otherKeys: Set<String> = [
        "routing", "pipeline", "require_alias", "require_data_stream", "dynamic_templates", "version",
        "version_type", "if_seq_no", "if_primary_term", "list_executed_pipelines",
    ]

    static func parse(_ body: [UInt8], defaultIndex: String?) throws(BulkFault) -> [BulkOperation] {
        guard let last = body.last else {
            throw BulkFault(type: "parse_exception", reason: "request body is required")
        }
        guard last == 0x0A else {
            throw BulkFault(reason: "The bulk request must be terminated by a newline [\\n]")
        }
        var operations: [BulkOperation] = []
        var number = 0
        var at = 0
        while at < body.count {
            let action = line(body, from: at)
            at = action.upperBound + 1
            number += 1
            // The real parser skips empty lines where it expects an action.
            if action.isEmpty { continue }
            var operation = try parseAction(body, action, number: number, defaultIndex: defaultIndex)
            guard at < body.count else {
                throw BulkFault(reason: "Malformed action/metadata line [\(number)], its source line is missing")
            }
            let source = line(body, from: at)
            at = source.upperBound + 1
            number += 1
            operation.isDocument = Elasticsearch.isObject(body, source)
            operations.append(operation)
        }
        if operations.isEmpty {
            throw BulkFault(
                type: "action_request_validation_exception", reason: "Validation Failed: 1: no requests added;")
        }
        return operations
    }

    private static func line(_ body: [UInt8], from start: Int) -> Range<Int> {
        start..<(body[start...].firstIndex(of: 0x0A) ?? body.count)
    }

    private static func parseAction(
        _ body: [UInt8], _ range: Range<Int>, number: Int, defaultIndex: String?
    ) throws(BulkFault) -> BulkOperation {
        let malformed = BulkFault(
            reason: "Malformed action/metadata line [\(number)], expected START_OBJECT or END_OBJECT")
        var actions: [(name: String, metadata: JSONScanner.Value)] = []
        var scanner = JSONScanner(body, range)
        do throws(JSONFault) {
            try scanner.members { (scanner, key) throws(JSONFault) in actions.append((key, try scanner.value())) }
            scanner.skipWhitespace()
        } catch {
            throw malformed
        }
        guard scanner.isAtEnd, actions.count == 1, let action = actions.first, action.metadata.kind == .object else {
            throw malformed
        }
        guard action.name == "create" else {
            throw BulkFault(
                reason: ["index", "update", "delete"].contains(action.name)
                    ? "only write ops with an op_type of create are allowed, found [\(action.name)] in line [\(number)]"
                    : "Malformed action/metadata line [\(number)], expected one of "
                        + "[create, delete, index, update] but found [\(action.name)]")
        }
        var index = defaultIndex
        var id: String?
        var stranger: String?
        var metadata = JSONScanner(body, action.metadata.range)
        do throws(JSONFault) {
            try metadata.members { (metadata, key) throws(JSONFault) in
                let value = try metadata.value()
                switch (key, value.kind) {
                case ("_index", .string): index = metadata.text(value.range)
                case ("_id", .string): id = metadata.text(value.range)
                case _ where otherKeys.contains(key): break
                default: stranger = stranger ?? key
                }
            }
        } catch {
            throw malformed
        }
        if let stranger {
            throw BulkFault(reason: "Action/metadata line [\(number)] contains an unknown parameter [\(stranger)]")
        }
        let problem: String? =
            switch (index, id) {
            case (nil, _), ("", _): "index is missing"
            case (_, ""): "if _id is specified it must not be empty"
            case (_, let id?) where id.utf8.count > 512: "id [\(id)] is too long, must be no longer than 512 bytes"
            default: nil
            }
        guard let index, problem == nil else {
            throw BulkFault(
                type: "action_request_validation_exception",
                reason: "Validation Failed: 1: \(problem ?? "index is missing");")
        }
        return BulkOperation(index: index, id: id, isDocument: false)
    }
}

/// The outcome of one operation, an item of the answer.
struct BulkResult {
    var index: String
    var id: String
    var status: Int
    var failure: (type: String, reason: String)?

    /// Carries `operation` out.
    init(_ operation: BulkOperation, _ state: inout TargetLog.State) {
        index = operation.index
        id = operation.id ?? "sandbox-\(state.stats.requests)-\(state.stats.recordsReceived)"
        if state.plan.failsItem() {
            state.stats.itemFailuresInjected += 1
            status = 429
            failure = ("es_rejected_execution_exception", "rejected execution of primary operation")
        } else if !operation.isDocument {
            state.stats.recordsRejected += 1
            status = 400
            failure = ("document_parsing_exception", "[1:1] failed to parse: source is not a JSON object")
        } else {
            state.stats.recordsReceived += 1
            status = 201
            guard operation.id != nil else {
                state.stats.recordsWithoutID += 1
                return
            }
            if state.note(id, index: index) == .repeated {
                status = 409
                failure = (
                    "version_conflict_engine_exception",
                    "[\(id)]: version conflict, document already exists (current version [1])"
                )
            }
        }
    }

    /// - Parameter isFiltered: whether to leave out everything but `errors`, `status` and `error`, which is what a
    ///   client asks for with `filter_path=errors,items.*.status,items.*.error`.
    static func reply(_ results: [BulkResult], isFiltered: Bool) -> HTTPReply {
        var body = ByteBuffer()
        body.reserveCapacity(results.count * (isFiltered ? 32 : 160) + 64)
        body.writeStaticString("{")
        if !isFiltered { body.writeStaticString("\"took\":1,") }
        let hasErrors = results.contains { $0.failure != nil }
        body.writeString("\"errors\":\(hasErrors),\"items\":[")
        for (position, result) in results.enumerated() {
            body.writeStaticString(position == 0 ? "{\"create\":{" : ",{\"create\":{")
            result.write(&body, isFiltered: isFiltered)
            body.writeStaticString("}}")
        }
        body.writeStaticString("]}")
        return HTTPReply(.ok, body)
    }

    private func write(_ body: inout ByteBuffer, isFiltered: Bool) {
        if !isFiltered {
            body.writeStaticString("\"_index\":")
            body.writeJSON(index)
            body.writeStaticString(",\"_id\":")
            body.writeJSON(id)
            body.writeStaticString(",")
            if failure == nil {
                body.writeStaticString(
                    """
                    "_version":1,"result":"created","_shards":{"total":2,"successful":1,"failed":0},\
                    "_seq_no":0,"_primary_term":1,
                    """)
            }
        }
        body.writeString("\"status\":\(status)")
        guard let failure else { return }
        body.writeString(",\"error\":{\"type\":\"\(failure.type)\",\"reason\":")
        body.writeJSON(failure.reason)
        body.writeStaticString("}")
    }
}
