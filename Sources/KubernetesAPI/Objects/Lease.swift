import Formats
import Model

/// A Lease (coordination.k8s.io/v1): as much of it as is read and written here. What else it has stays as it is.
public struct Lease: Sendable, Equatable {
    /// Its namespace.
    public var namespace: String
    /// Its name.
    public var name: String
    /// Which writing of it this is; empty for one that was not stored yet.
    public var resourceVersion = ""
    /// Its UID: another one of the same name has another.
    public var uid = ""
    /// `spec.holderIdentity`; empty if nobody holds it.
    public var holder = ""
    /// `spec.leaseDurationSeconds`; 0 if there is none.
    public var durationSeconds = 0
    /// `spec.leaseTransitions`.
    public var transitions = 0
    /// `spec.acquireTime`, microseconds since 1970; nil if there is none.
    public var acquired: Int64?
    /// `spec.renewTime`, microseconds since 1970; nil if there is none.
    public var renewed: Int64?
    /// `metadata.annotations`. A write adds and changes those that are here, and takes away
    /// those that are ``dropped``; others stay.
    public var annotations: [String: String] = [:]
    /// Keys of annotations that a write of a stored one takes away.
    public var dropped: Set<String> = []

    /// One that nobody holds.
    public init(namespace: String, name: String) {
        self.namespace = namespace
        self.name = name
    }

    /// Reads a Lease's JSON; nil if it is none.
    public init?(json: [UInt8]) {
        let bytes = json.span
        func members(_ value: JSONValue?) -> [(key: String, value: JSONValue)] {
            guard let value, value.kind == .object else { return [] }
            return JSONAnswer.members(bytes, value.range) ?? []
        }
        guard let whole = JSONAnswer.members(bytes, 0..<json.count) else { return nil }
        func text(_ value: JSONValue) -> String { JSONAnswer.text(value, bytes, limit: 4_096) ?? "" }
        var kind = ""
        (namespace, name) = ("", "")
        for (key, value) in whole {
            switch key {
            case "kind": kind = text(value)
            case "metadata":
                for (key, value) in members(value) {
                    switch key {
                    case "namespace": namespace = text(value)
                    case "name": name = text(value)
                    case "resourceVersion": resourceVersion = text(value)
                    case "uid": uid = text(value)
                    case "annotations":
                        for (key, value) in members(value) where value.kind == .string {
                            annotations[key] = text(value)
                        }
                    default: break
                    }
                }
            case "spec":
                for (key, value) in members(value) {
                    switch key {
                    case "holderIdentity": holder = text(value)
                    case "leaseDurationSeconds": durationSeconds = JSONAnswer.integer(value, bytes) ?? 0
                    case "leaseTransitions": transitions = JSONAnswer.integer(value, bytes) ?? 0
                    case "acquireTime": acquired = MicroTime.read(value, bytes)
                    case "renewTime": renewed = MicroTime.read(value, bytes)
                    default: break
                    }
                }
            default: break
            }
        }
        guard kind == APIResource.leases.kind, !name.isEmpty, !resourceVersion.isEmpty else { return nil }
    }

    /// The whole object, to be created.
    var object: [UInt8] {
        JSONBody.object { body in
            body.add(.leases)
            body.add("metadata") { metadata in
                metadata.add("name", name)
                metadata.add("namespace", namespace)
                addAnnotations(&metadata)
            }
            addSpec(&body)
        }
    }

    /// A merge patch that makes the stored Lease say what this one says, if it still is this writing of it.
    var patch: [UInt8] {
        JSONBody.object { body in
            body.add("metadata") { metadata in
                metadata.add("resourceVersion", resourceVersion)
                addAnnotations(&metadata, dropped: dropped)
            }
            addSpec(&body)
        }
    }

    private func addAnnotations(_ metadata: inout JSONBody, dropped: Set<String> = []) {
        guard !annotations.isEmpty || !dropped.isEmpty else { return }
        metadata.add("annotations") { list in
            for (key, value) in annotations.sorted(by: { $0.key < $1.key }) { list.add(key, value) }
            for key in dropped.sorted() where annotations[key] == nil { list.add(key, String?.none) }
        }
    }

    private func addSpec(_ body: inout JSONBody) {
        body.add("spec") { spec in
            spec.add("holderIdentity", holder)
            if durationSeconds > 0 { spec.add("leaseDurationSeconds", Int64(durationSeconds)) }
            spec.add("leaseTransitions", Int64(transitions))
            if let acquired { spec.add("acquireTime", MicroTime.text(acquired)) }
            if let renewed { spec.add("renewTime", MicroTime.text(renewed)) }
        }
    }
}

/// `MicroTime` of meta/v1: RFC 3339 in UTC with six digits of a fraction.
public enum MicroTime {
    /// Microseconds since 1970 as text.
    public static func text(_ microseconds: Int64) -> String {
        let seconds = microseconds.flooredQuotient(1_000_000)
        let time = Timestamp(seconds: seconds, nanoseconds: UInt32(microseconds - seconds * 1_000_000) * 1_000)
        var out = ByteWriter(capacity: 64)
        time.write(digits: 6, into: &out)
        return String(decoding: out.seal().array, as: UTF8.self)
    }

    static func read(_ value: JSONValue, _ bytes: Span<UInt8>) -> Int64? {
        guard value.kind == .string, let time = Timestamp(bytes, value.range) else { return nil }
        return time.seconds * 1_000_000 + Int64(time.nanoseconds / 1_000)
    }
}

extension Int64 {
    /// The quotient rounded down, also below zero.
    fileprivate func flooredQuotient(_ divisor: Int64) -> Int64 {
        let (quotient, remainder) = quotientAndRemainder(dividingBy: divisor)
        return remainder < 0 ? quotient - 1 : quotient
    }
}

extension KubernetesClient {
    /// The Lease as of now; nil if there is none.
    public func lease(
        namespace: String, name: String, milliseconds: UInt64 = 4_000
    ) async throws(APIFailure) -> Lease? {
        let json = try await get(
            .leases, namespace: namespace, name: name, milliseconds: milliseconds, isUrgent: true)
        return try json.map { json throws(APIFailure) in try Self.lease(json, .get, namespace, name) }
    }

    /// Makes a Lease, and gives it as it was stored. `.alreadyExists` if there is one.
    public func createLease(_ lease: Lease, milliseconds: UInt64 = 4_000) async throws(APIFailure) -> Lease {
        let json = try await create(
            .leases, namespace: lease.namespace, object: lease.object, milliseconds: milliseconds, isUrgent: true)
        return try Self.lease(json, .create, lease.namespace, lease.name)
    }

    /// Writes a Lease that was read, and gives it as it was stored. `.conflict` if it is not the one that was read any more.
    ///
    /// By a merge patch (verb `patch`) and not by `update`: so labels, owners and fields that a later Kubernetes adds stay as
    /// they are, and a Lease that was deleted is not made anew, as an `update` of a Lease would.
    public func updateLease(_ lease: Lease, milliseconds: UInt64 = 4_000) async throws(APIFailure) -> Lease {
        let json = try await patch(
            .leases, namespace: lease.namespace, name: lease.name, patch: lease.patch, milliseconds: milliseconds,
            isUrgent: true)
        return try Self.lease(json, .patch, lease.namespace, lease.name)
    }

    /// The write has happened, whatever its answer is.
    private static func lease(
        _ json: [UInt8], _ verb: APIVerb, _ namespace: String, _ name: String
    ) throws(APIFailure) -> Lease {
        if let lease = Lease(json: json) { return lease }
        throw APIFailure(
            .unreadable, "\(APICall(verb, .leases, namespace: namespace, name: name)): the answer is no Lease",
            mayHaveHappened: verb.isWrite)
    }
}
