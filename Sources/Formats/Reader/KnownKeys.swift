/// Which field a key names, per object. Keys are told apart by their length first, so one comparison is the rule.
enum KnownKeys {
    /// The field that `key` names in the object `parent` (nil: the resource itself). A key spelt with escapes names the
    /// same field as the plain one.
    @inline(__always) static func find(_ parent: Field?, _ s: borrowing JSONScanner, _ key: JSONValue) -> Field? {
        key.hasEscapes ? findDecoded(parent, s, key) : findPlain(parent, s, key)
    }

    private static func findDecoded(_ parent: Field?, _ s: borrowing JSONScanner, _ key: JSONValue) -> Field? {
        let decoded = JSONEntry.decodedKey(key, s.bytes)
        let inner = JSONScanner(decoded.span, 0..<decoded.count, maxDepth: 1)
        return findPlain(parent, inner, whole(decoded))
    }

    /// All of `decoded` as a key.
    private static func whole(_ decoded: [UInt8]) -> JSONValue {
        JSONValue(
            start: 0, stop: UInt32(truncatingIfNeeded: decoded.count), kind: .string, isCanonical: true,
            hasEscapes: false, isSorted: true)
    }

    private static func findPlain(_ parent: Field?, _ s: borrowing JSONScanner, _ key: JSONValue) -> Field? {
        switch parent {
        case nil: root(s, key)
        case .metadata: metadata(s, key)
        case .spec: spec(s, key)
        case .probe: probe(s, key)
        case .result: result(s, key)
        case .execution: execution(s, key)
        default: s.equals(key, "exportStatus") ? .exportStatus : nil
        }
    }

    private static func root(_ s: borrowing JSONScanner, _ key: JSONValue) -> Field? {
        switch key.count {
        case 10: s.equals(key, "apiVersion") ? .apiVersion : nil
        case 4: s.equals(key, "spec") ? .spec : (s.equals(key, "kind") ? .kind : nil)
        case 8: s.equals(key, "metadata") ? .metadata : nil
        default: nil
        }
    }

    private static func metadata(_ s: borrowing JSONScanner, _ key: JSONValue) -> Field? {
        switch key.count {
        case 3: s.equals(key, "uid") ? .uid : nil
        case 4: s.equals(key, "name") ? .name : nil
        case 6: s.equals(key, "labels") ? .labels : nil
        case 9: s.equals(key, "namespace") ? .namespace : nil
        case 11: s.equals(key, "annotations") ? .annotations : nil
        case 17: s.equals(key, "creationTimestamp") ? .creationTimestamp : nil
        default: nil
        }
    }

    /// Metadata the API server changes with every write, our own status writes among them: left out, so that the same
    /// record always gives the same bytes.
    static func isVolatile(_ s: borrowing JSONScanner, _ key: JSONValue) -> Bool {
        guard key.hasEscapes else { return isVolatilePlain(s, key) }
        let decoded = JSONEntry.decodedKey(key, s.bytes)
        return isVolatilePlain(JSONScanner(decoded.span, 0..<decoded.count, maxDepth: 1), whole(decoded))
    }

    private static func isVolatilePlain(_ s: borrowing JSONScanner, _ key: JSONValue) -> Bool {
        switch key.count {
        case 8: s.equals(key, "selfLink")
        case 10: s.equals(key, "generation")
        case 13: s.equals(key, "managedFields")
        case 15: s.equals(key, "resourceVersion")
        default: false
        }
    }

    private static func spec(_ s: borrowing JSONScanner, _ key: JSONValue) -> Field? {
        switch key.count {
        case 5: s.equals(key, "probe") ? .probe : (s.equals(key, "audit") ? .audit : nil)
        case 6: s.equals(key, "result") ? .result : nil
        case 9: s.equals(key, "execution") ? .execution : nil
        default: nil
        }
    }

    private static func probe(_ s: borrowing JSONScanner, _ key: JSONValue) -> Field? {
        switch key.count {
        case 2: s.equals(key, "id") ? .probeID : nil
        case 7: s.equals(key, "profile") ? .profile : nil
        case 15: s.equals(key, "targetNamespace") ? .targetNamespace : nil
        case 18: s.equals(key, "aoAuthorizationRef") ? .aoAuthorizationRef : nil
        default: nil
        }
    }

    private static func result(_ s: borrowing JSONScanner, _ key: JSONValue) -> Field? {
        switch key.count {
        case 6: s.equals(key, "detail") ? .detail : nil
        case 7: s.equals(key, "outcome") ? .outcome : nil
        case 12: s.equals(key, "nistControls") ? .nistControls : nil
        case 13: s.equals(key, "mitreAttackId") ? .mitreAttackID : nil
        case 15:
            s.equals(key, "integrityStatus")
                ? .integrityStatus : (s.equals(key, "controlMappings") ? .controlMappings : nil)
        case 16:
            s.equals(key, "crosswalkVersion")
                ? .crosswalkVersion : (s.equals(key, "verificationMode") ? .verificationMode : nil)
        case 20: s.equals(key, "controlEffectiveness") ? .controlEffectiveness : nil
        default: nil
        }
    }

    private static func execution(_ s: borrowing JSONScanner, _ key: JSONValue) -> Field? {
        switch key.count {
        case 7: s.equals(key, "jobName") ? .jobName : nil
        case 9: s.equals(key, "timestamp") ? .timestamp : nil
        case 10: s.equals(key, "durationMs") ? .durationMs : nil
        default: nil
        }
    }
}
