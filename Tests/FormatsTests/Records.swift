import Formats
import Foundation
import Model
import Testing

/// What the tests of the reader and the encoder begin with.
enum Records {
    /// A record with every field the schema knows.
    static let full: JSON = .members([
        "apiVersion": .string("sidereal.cloud/v1alpha1"),
        "kind": .string("SiderealProbeResult"),
        "metadata": .members([
            "name": .string("sidereal-result-3f2b8c1e"),
            "namespace": .string("sidereal-system"),
            "uid": .string("6ba7b810-9dad-41d1-80b4-00c04fd430c8"),
            "creationTimestamp": .string("2026-03-15T08:30:01Z"),
            "labels": .members([
                "sidereal.cloud/outcome": .string("Blocked"), "sidereal.cloud/probe-profile": .string("netpol"),
            ]),
            "annotations": .members(["note": .string("kept")]),
        ]),
        "spec": .members([
            "probe": .members([
                "id": .string("3f2b8c1e-9d47-4a06-8e51-7c0d92ab41f3"),
                "profile": .string("netpol"),
                "targetNamespace": .string("payments"),
                "aoAuthorizationRef": .string("ao-2026-q1"),
            ]),
            "result": .members([
                "outcome": .string("Blocked"),
                "controlEffectiveness": .string("Effective"),
                "integrityStatus": .string("Verified"),
                "nistControls": .list([.string("AC-4"), .string("SC-7")]),
                "controlMappings": .members([
                    "cmmc": .list([.string("SC.L2-3.13.1")]), "nist-800-53": .list([.string("AC-4"), .string("SC-7")]),
                ]),
                "crosswalkVersion": .string("2026.1"),
                "mitreAttackId": .string("T1611"),
                "detail": .string("TCP connections timed out."),
                "verificationMode": .string("FlowLog"),
            ]),
            "execution": .members([
                "timestamp": .string("2026-03-15T08:30:00.123456789Z"),
                "durationMs": .number("3120"),
                "jobName": .string("sidereal-probe-netpol-3f2b8c1e"),
            ]),
            "audit": .members(["exportStatus": .string("Pending")]),
        ]),
    ])

    static let stamp = ExportStamp(version: "0.1.0", cluster: "prod-east")

    /// The record as the native format writes it.
    static func encode(_ bytes: [UInt8], limits: Limits = Limits()) throws(RecordError) -> [UInt8] {
        var reader = ProbeResultReader(limits: limits)
        try reader.read(bytes.span, 0..<bytes.count)
        var out = ByteWriter()
        JSONRecordEncoder(stamp: stamp).encode(reader.record, of: bytes.span, into: &out)
        return out.seal().array
    }

    static func encode(_ text: String) throws(RecordError) -> String {
        String(decoding: try encode(Array(text.utf8)), as: UTF8.self)
    }

    /// Why the reader refuses; nil if it does not.
    static func refusal(_ bytes: [UInt8], limits: Limits = Limits()) -> RecordError? {
        var reader = ProbeResultReader(limits: limits)
        do throws(RecordError) {
            try reader.read(bytes.span, 0..<bytes.count)
            return nil
        } catch { return error }
    }

    static func refusal(_ text: String) -> RecordError? { refusal(Array(text.utf8)) }
    static func refusal(_ tree: JSON) -> RecordError? { refusal(tree.text) }

    /// The same tree as Foundation's parser sees the text.
    static func parsed(_ bytes: [UInt8]) throws -> JSON {
        try tree(JSONSerialization.jsonObject(with: Data(bytes), options: [.fragmentsAllowed]))
    }

    static func parsed(_ text: String) throws -> JSON { try parsed(Array(text.utf8)) }

    struct UnknownKind: Error {
        var value: String
    }

    private static func tree(_ value: Any) throws -> JSON {
        switch value {
        case is NSNull: return .null
        case let text as String: return .string(text)
        case let list as [Any]: return .list(try list.map(tree))
        case let object as [String: Any]:
            return .object(
                try object.map { JSON.Member(key: $0.key, value: try tree($0.value)) }.sorted { $0.key < $1.key })
        case let number as NSNumber:
            // The one mark by which Foundation tells a Boolean from a number.
            if unsafe number.objCType.pointee == 0x63 { return .bool(number.boolValue) }
            return .number(number.stringValue)
        default: throw UnknownKind(value: "\(value)")
        }
    }
}

extension JSON {
    /// Members by ascending key at every level: for comparisons that do not care about order.
    var ordered: JSON {
        switch self {
        case .list(let elements): .list(elements.map(\.ordered))
        case .object(let members):
            .object(members.map { Member(key: $0.key, value: $0.value.ordered) }.sorted { $0.key < $1.key })
        default: self
        }
    }
}
