import Formats
import Model

/// Writes the JSON of small objects: leases, patches, alerts, events. Keys come in the order in which they are added.
public struct JSONBody: ~Copyable {
    private var out = ByteWriter(capacity: 512)
    private var isFirst = true

    /// An object with the members that `body` adds.
    public static func object(_ body: (inout JSONBody) -> Void) -> [UInt8] {
        var writer = JSONBody()
        writer.braces(body)
        let bytes = writer.out.span
        return (0..<bytes.count).map { bytes[$0] }
    }

    private init() {}

    private mutating func braces(_ body: (inout JSONBody) -> Void) {
        out.append(0x7B)
        isFirst = true
        body(&self)
        out.append(0x7D)
        isFirst = false
    }

    private mutating func key(_ name: String) {
        if !isFirst { out.append(0x2C) }
        isFirst = false
        text(name)
        out.append(0x3A)
    }

    private mutating func text(_ value: String) {
        out.append(0x22)
        JSONText.escape(Array(value.utf8).span, into: &out)
        out.append(0x22)
    }

    /// A text; nil: `null`, with which a merge patch (RFC 7386) takes a member away.
    public mutating func add(_ name: String, _ value: String?) {
        key(name)
        guard let value else {
            out.append("null")
            return
        }
        text(value)
    }

    /// A whole number.
    public mutating func add(_ name: String, _ value: Int64) {
        key(name)
        if value < 0 { out.append(0x2D) }
        out.append(decimal: value.magnitude)
    }

    /// A truth.
    public mutating func add(_ name: String, _ value: Bool) {
        key(name)
        out.append(value ? "true" : "false")
    }

    /// An object within.
    public mutating func add(_ name: String, _ body: (inout JSONBody) -> Void) {
        key(name)
        braces(body)
    }

    /// JSON that is there already, and well-formed.
    public mutating func add(_ name: String, json: [UInt8]) {
        key(name)
        out.append(json.span)
    }

    /// Group, version and kind of an object.
    public mutating func add(_ resource: APIResource) {
        add("apiVersion", resource.apiVersion)
        add("kind", resource.kind)
    }
}
