@testable import KubernetesAPI

/// Objects as an API server writes them.
enum Samples {
    static let uid = "a1b2c3d4-0001-4002-8003-00000000000f"

    static func object(
        name: String = "r-1", namespace: String = "team-a", uid: String = Samples.uid, version: String = "42",
        status: String? = "Pending", targets: String? = nil, of owner: String? = Samples.uid, managed: String? = nil,
        extra: String = ""
    ) -> String {
        var metadata = [
            #""creationTimestamp":"2026-03-01T10:00:00Z""#, #""name":"\#(name)""#, #""namespace":"\#(namespace)""#,
        ]
        if let targets {
            let of = owner.map { #","export.sidereal.cloud/targets-of":"\#($0)""# } ?? ""
            metadata.insert(#""annotations":{"a":"b","export.sidereal.cloud/targets":\#(targets)\#(of)}"#, at: 0)
        }
        if let managed { metadata.insert(#""managedFields":\#(managed)"#, at: 2) }
        metadata += [#""resourceVersion":"\#(version)""#, #""uid":"\#(uid)""#]
        let audit = status.map { #"{"exportStatus":"\#($0)"}"# } ?? "{}"
        return #"{"apiVersion":"sidereal.cloud/v1alpha1","kind":"SiderealProbeResult","metadata":{"#
            + metadata.joined(separator: ",") + #"},"spec":{"audit":\#(audit),"probe":{"id":"x"}\#(extra)}}"#
    }

    static func list(_ items: [String], version: String = "100", token: String = "", remaining: Int? = nil) -> [UInt8] {
        let rest = remaining.map { #","remainingItemCount":\#($0)"# } ?? ""
        return Array(
            (#"{"apiVersion":"sidereal.cloud/v1alpha1","items":[\#(items.joined(separator: ","))],"kind":"L","metadata":"#
                + #"{"continue":"\#(token)","resourceVersion":"\#(version)"\#(rest)}}"# + "\n").utf8)
    }

    static func event(_ type: String, _ object: String) -> String { #"{"type":"\#(type)","object":\#(object)}"# + "\n" }

    static func bookmark(_ version: String) -> String {
        event("BOOKMARK", #"{"kind":"X","metadata":{"resourceVersion":"\#(version)","creationTimestamp":null}}"#)
    }

    static let status410 =
        #"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"too old resource version: 1 (9)","#
        + #""reason":"Expired","code":410}"#
}

extension ObjectBatch {
    /// What is kept of an object, as text.
    func text(_ index: Int) -> String { String(decoding: json(entries[index]), as: UTF8.self) }
}
