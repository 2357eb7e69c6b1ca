/// A `SiderealSystemAlert`: what a person has to look at before probing goes on.
public struct SystemAlert: Sendable, Equatable {
    /// `spec.reason` of every alert of ours, one of the resource's enumeration.
    public static let exportDegraded = "SIEMExportDegraded"

    /// `metadata.name`.
    public var name: String
    /// `spec.reason`.
    public var reason: String
    /// `spec.message`.
    public var message: String
    /// `spec.acknowledged`, with what belongs to it.
    public var acknowledged: Bool
    /// `spec.acknowledgedBy`.
    public var acknowledgedBy: String?
    /// `spec.acknowledgedAt`, as it stands there.
    public var acknowledgedAt: String?
    /// `spec.remediationAction`.
    public var remediationAction: String?

    /// One that nobody acknowledged.
    public init(name: String, message: String) {
        self.name = name
        self.reason = Self.exportDegraded
        self.message = message
        self.acknowledged = false
    }

    /// Whether a person has acknowledged it: it is marked so, says by whom, when and what was done, and it was no
    /// service account, for a program that acknowledges its own alerts would make the gate worth nothing.
    public var isAcknowledgedByPerson: Bool {
        guard acknowledged, let by = Self.written(acknowledgedBy), Self.written(acknowledgedAt) != nil,
            Self.written(remediationAction) != nil
        else { return false }
        return !by.lowercased().hasPrefix("system:serviceaccount:")
    }

    /// What is missing for an acknowledgement to count, for logs; nil if nothing is, or if nobody began one.
    public var acknowledgementFlaw: String? {
        guard acknowledged, !isAcknowledgedByPerson else { return nil }
        if let by = Self.written(acknowledgedBy), by.lowercased().hasPrefix("system:serviceaccount:") {
            return "acknowledgedBy is the service account \(by), and only a person may acknowledge"
        }
        let parts = [
            ("acknowledgedBy", acknowledgedBy), ("acknowledgedAt", acknowledgedAt),
            ("remediationAction", remediationAction),
        ]
        let missing = parts.filter { Self.written($0.1) == nil }.map(\.0)
        return "acknowledged is set, but not \(missing.joined(separator: ", "))"
    }

    /// Without white space around it; nil if nothing is left.
    private static func written(_ text: String?) -> String? {
        guard let text else { return nil }
        let rest = text.drop { $0.isWhitespace }
        guard let end = rest.lastIndex(where: { !$0.isWhitespace }) else { return nil }
        return String(rest[...end])
    }
}
