/// Where the few fields of a Kubernetes object lie that whoever carries objects around has to know. Values that are not there
/// are absent; what kind those have that are, is for the reader to check.
public struct APIObjectFields: Sendable, Equatable {
    /// The whole object, with its braces.
    public var whole = 0..<0
    /// `metadata.name`.
    public var name = JSONValue.absent
    /// `metadata.namespace`.
    public var namespace = JSONValue.absent
    /// `metadata.uid`.
    public var uid = JSONValue.absent
    /// `metadata.resourceVersion`.
    public var resourceVersion = JSONValue.absent
    /// `metadata.creationTimestamp`.
    public var creationTimestamp = JSONValue.absent
    /// The annotation `export.sidereal.cloud/targets`.
    public var targets = JSONValue.absent
    /// The annotation `export.sidereal.cloud/targets-of`.
    public var targetsOf = JSONValue.absent
    /// `spec.audit.exportStatus`.
    public var exportStatus = JSONValue.absent
    /// The member `metadata.managedFields` with one comma beside it, so that the object without these bytes is well-formed;
    /// empty if there is none.
    public var bookkeeping = 0..<0

    fileprivate init() {}
}

/// What a list says of itself.
public struct APIListFields: Sendable, Equatable {
    /// `metadata.resourceVersion`.
    public var resourceVersion = JSONValue.absent
    /// `metadata.continue`.
    public var continueToken = JSONValue.absent
    /// How many objects are behind this page; absent if the server does not know.
    public var remainingItemCount = JSONValue.absent

    fileprivate init() {}
}

/// JSON that is not what an API server sends.
public struct APIObjectFault: Error, Sendable, Equatable, CustomStringConvertible {
    /// What is wrong, and at which byte.
    public let description: String

    /// A fault in words.
    public init(_ description: String) { self.description = description }
}

/// Reads lists and watch events of the Kubernetes API in one pass, without a tree.
///
/// Promises:
/// 1. All of the text is checked (RFC 8259, UTF-8, at most 64 levels); what is wrong anywhere is a fault.
/// 2. A key that is looked for and appears twice, or is spelt with escapes, is a fault: readers would disagree which one
///    counts. An API server sends neither.
public enum APIObjectScan {
    private static let maxDepth = 64

    /// A watch event (`{"type":…,"object":…}`): where its type lies, and its object's fields.
    public static func event(
        _ bytes: Span<UInt8>, _ range: Range<Int>
    ) throws(APIObjectFault) -> (type: JSONValue, object: APIObjectFields) {
        do throws(JSONFault) {
            var scanner = JSONScanner(bytes, range, maxDepth: maxDepth)
            var type = JSONValue.absent
            var object = APIObjectFields()
            var hasObject = false
            try scanner.enterObject()
            var first = true
            while let key = try scanner.key(first: &first) {
                if try scanner.isKey(key, "type") {
                    try scanner.take(&type)
                } else if try scanner.isKey(key, "object") {
                    if hasObject { throw scanner.fault(.duplicateKey) }
                    hasObject = true
                    object = try scanner.apiObject()
                } else {
                    _ = try scanner.value(depth: 1)
                }
            }
            try scanner.expectEnd()
            guard hasObject, type.kind == .string else { throw scanner.fault(.expectedObject) }
            return (type, object)
        } catch {
            throw fault(error, range)
        }
    }

    /// A list (`{"metadata":…,"items":[…]}`): `each` is called for every object, in order.
    public static func list(
        _ bytes: Span<UInt8>, _ range: Range<Int>, each: (APIObjectFields) -> Void
    ) throws(APIObjectFault) -> APIListFields {
        do throws(JSONFault) {
            var scanner = JSONScanner(bytes, range, maxDepth: maxDepth)
            var list = APIListFields()
            var (hasMetadata, hasItems) = (false, false)
            try scanner.enterObject()
            var first = true
            while let key = try scanner.key(first: &first) {
                if try scanner.isKey(key, "metadata") {
                    if hasMetadata { throw scanner.fault(.duplicateKey) }
                    hasMetadata = true
                    list = try scanner.apiListMetadata()
                } else if try scanner.isKey(key, "items") {
                    if hasItems { throw scanner.fault(.duplicateKey) }
                    hasItems = true
                    try scanner.apiItems(each)
                } else {
                    _ = try scanner.value(depth: 1)
                }
            }
            try scanner.expectEnd()
            guard hasItems else { throw scanner.fault(.expectedObject) }
            return list
        } catch {
            throw fault(error, range)
        }
    }

    /// A single object, as `get`, `create` and `patch` answer.
    public static func object(
        _ bytes: Span<UInt8>, _ range: Range<Int>
    ) throws(APIObjectFault) -> APIObjectFields {
        do throws(JSONFault) {
            var scanner = JSONScanner(bytes, range, maxDepth: maxDepth)
            let object = try scanner.apiObject()
            try scanner.expectEnd()
            return object
        } catch {
            throw fault(error, range)
        }
    }

    private static func fault(_ fault: JSONFault, _ range: Range<Int>) -> APIObjectFault {
        APIObjectFault(fault.message(recordStart: range.lowerBound))
    }
}

extension JSONScanner {
    /// Whether `key` is `wanted`; a fault if it is, and spelt with escapes.
    fileprivate func isKey(_ key: JSONValue, _ wanted: StaticString) throws(JSONFault) -> Bool {
        guard key.hasEscapes else { return equals(key, wanted) }
        let decoded = JSONEntry.decodedKey(key, bytes)
        if decoded.elementsEqual(wanted.description.utf8) { throw fault(.badEscape) }
        return false
    }

    /// Scans a value that may come once.
    fileprivate mutating func take(_ place: inout JSONValue) throws(JSONFault) {
        guard place.kind == .absent else { throw fault(.duplicateKey) }
        place = try value(depth: 4)
    }

    fileprivate mutating func expectEnd() throws(JSONFault) {
        skipSpace()
        guard at == end else { throw fault(.trailingBytes) }
    }

    /// Whether an object begins here; anything else is stepped over.
    private mutating func entersObject(depth: Int) throws(JSONFault) -> Bool {
        skipSpace()
        guard at < end else { throw fault(.unexpectedEnd) }
        if byte(at) == 0x7B {
            at &+= 1
            return true
        }
        _ = try value(depth: depth)
        return false
    }

    fileprivate mutating func apiObject() throws(JSONFault) -> APIObjectFields {
        skipSpace()
        var fields = APIObjectFields()
        let start = at
        try enterObject()
        var (hasMetadata, hasSpec) = (false, false)
        var first = true
        while let key = try key(first: &first) {
            if try isKey(key, "metadata") {
                if hasMetadata { throw fault(.duplicateKey) }
                hasMetadata = true
                if try entersObject(depth: 2) { try apiMetadata(&fields) }
            } else if try isKey(key, "spec") {
                if hasSpec { throw fault(.duplicateKey) }
                hasSpec = true
                if try entersObject(depth: 2) { try apiSpec(&fields) }
            } else {
                _ = try value(depth: 2)
            }
        }
        fields.whole = start..<at
        return fields
    }

    private mutating func apiMetadata(_ fields: inout APIObjectFields) throws(JSONFault) {
        var hasAnnotations = false
        var first = true
        /// Behind the value before this one, or behind the brace.
        var before = at
        var bookkeeping: Int?
        while let key = try key(first: &first) {
            let start = Int(key.start) - 1
            if let from = bookkeeping {
                fields.bookkeeping = from..<start
                bookkeeping = nil
            }
            if try isKey(key, "name") {
                try take(&fields.name)
            } else if try isKey(key, "namespace") {
                try take(&fields.namespace)
            } else if try isKey(key, "uid") {
                try take(&fields.uid)
            } else if try isKey(key, "resourceVersion") {
                try take(&fields.resourceVersion)
            } else if try isKey(key, "creationTimestamp") {
                try take(&fields.creationTimestamp)
            } else if try isKey(key, "annotations") {
                if hasAnnotations { throw fault(.duplicateKey) }
                hasAnnotations = true
                if try entersObject(depth: 3) { try apiAnnotations(&fields) }
            } else if try isKey(key, "managedFields") {
                guard fields.bookkeeping.isEmpty else { throw fault(.duplicateKey) }
                _ = try value(depth: 3)
                bookkeeping = start
                // In case that nothing follows: with the comma before it, if there is one.
                fields.bookkeeping = before..<at
            } else {
                _ = try value(depth: 3)
            }
            before = at
        }
    }

    private mutating func apiAnnotations(_ fields: inout APIObjectFields) throws(JSONFault) {
        var first = true
        while let key = try key(first: &first) {
            if try isKey(key, "export.sidereal.cloud/targets") {
                try take(&fields.targets)
            } else if try isKey(key, "export.sidereal.cloud/targets-of") {
                try take(&fields.targetsOf)
            } else {
                _ = try value(depth: 4)
            }
        }
    }

    private mutating func apiSpec(_ fields: inout APIObjectFields) throws(JSONFault) {
        var hasAudit = false
        var first = true
        while let key = try key(first: &first) {
            guard try isKey(key, "audit") else {
                _ = try value(depth: 3)
                continue
            }
            if hasAudit { throw fault(.duplicateKey) }
            hasAudit = true
            guard try entersObject(depth: 3) else { continue }
            var firstInside = true
            while let inner = try self.key(first: &firstInside) {
                if try isKey(inner, "exportStatus") {
                    try take(&fields.exportStatus)
                } else {
                    _ = try value(depth: 4)
                }
            }
        }
    }

    fileprivate mutating func apiListMetadata() throws(JSONFault) -> APIListFields {
        var list = APIListFields()
        guard try entersObject(depth: 1) else { return list }
        var first = true
        while let key = try key(first: &first) {
            if try isKey(key, "resourceVersion") {
                try take(&list.resourceVersion)
            } else if try isKey(key, "continue") {
                try take(&list.continueToken)
            } else if try isKey(key, "remainingItemCount") {
                try take(&list.remainingItemCount)
            } else {
                _ = try value(depth: 2)
            }
        }
        return list
    }

    /// `null` counts as an empty list: that is how Go writes a slice that was never made.
    fileprivate mutating func apiItems(_ each: (APIObjectFields) -> Void) throws(JSONFault) {
        skipSpace()
        guard at < end else { throw fault(.unexpectedEnd) }
        guard byte(at) == 0x5B else {
            guard try value(depth: 1).kind == .null else { throw fault(.expectedObject) }
            return
        }
        at &+= 1
        var first = true
        while try element(first: &first) { each(try apiObject()) }
    }
}
