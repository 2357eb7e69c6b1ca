public import Crypto

/// The two roles of a cluster. Each speaks only to the other.
public enum PeerRole: String, Sendable, Hashable, CaseIterable, CustomStringConvertible {
    /// Listens.
    case coordinator
    /// Connects.
    case worker

    /// The role on the other side.
    public var other: PeerRole { self == .coordinator ? .worker : .coordinator }
    /// The word in certificates.
    public var description: String { rawValue }
}

/// Who a certificate says its holder is.
///
/// The rule, on the subject's alternative names; the common name plays no part:
/// 1. A certificate with a URI that begins with `spiffe:` is judged by that alone, and must have no second URI (X.509-SVID,
///    section 2). The URI is `spiffe://<trust domain>/sidereal-export/<role>/<name>` with role `coordinator` or `worker`.
///    Trust domain and name are made of letters, digits, `.`, `-` and `_` (SPIFFE ID, section 2).
/// 2. Any other is judged by its host names. Those that count are `<role>.sidereal-export` and
///    `<name>.<role>.sidereal-export`, each with further labels behind or not, which is what a pod of the service
///    `<role>` in the namespace `sidereal-export` is called. All that count must give the same role, and at most one name.
///    A name `*` is none: such a certificate, like one of the first form, may be shared by all members of a role.
public struct PeerIdentity: Sendable, Equatable, CustomStringConvertible {
    /// What the holder may be.
    public let role: PeerRole
    /// Its name; nil for a certificate that all members of the role share.
    public let name: String?
    /// The trust domain of a SPIFFE ID; nil with host names.
    public let trustDomain: String?
    /// The alternative name that says so.
    public let source: String

    /// The alternative name.
    public var description: String { source }

    /// What is wrong with a certificate's names.
    public struct Mistake: Error, Sendable, Equatable {
        /// In words.
        public let why: String
    }

    /// Reads the names of a certificate.
    public init(_ facts: CertificateFacts) throws(Mistake) {
        if facts.uris.contains(where: { $0.lowercased().hasPrefix("spiffe:") }) {
            guard facts.uris.count == 1 else {
                throw Mistake(why: "it has \(facts.uris.count) URI names, and beside a SPIFFE ID there may be no other")
            }
            self = try Self.spiffe(facts.uris[0])
        } else {
            self = try Self.host(facts.dnsNames)
        }
    }

    private init(role: PeerRole, name: String?, trustDomain: String?, source: String) {
        self.role = role
        self.name = name
        self.trustDomain = trustDomain
        self.source = source
    }

    private static func spiffe(_ uri: String) throws(Mistake) -> PeerIdentity {
        let wrong = Mistake(
            why:
                "\(PeerError.quoted(uri)) is not spiffe://<trust domain>/sidereal-export/<coordinator or worker>/<name>"
        )
        let parts = uri.split(separator: "/", omittingEmptySubsequences: false)
        guard uri.utf8.count <= 2048, parts.count == 6, parts[0].lowercased() == "spiffe:", parts[1].isEmpty,
            isSegment(parts[2]), parts[3] == "sidereal-export", let role = PeerRole(rawValue: String(parts[4])),
            isSegment(parts[5]), parts[5] != ".", parts[5] != ".."
        else { throw wrong }
        return PeerIdentity(
            role: role, name: String(parts[5]), trustDomain: parts[2].lowercased(), source: uri)
    }

    private static func host(_ names: [String]) throws(Mistake) -> PeerIdentity {
        var found: PeerIdentity?
        for host in names {
            guard let next = role(of: host) else { continue }
            guard let known = found else {
                found = next
                continue
            }
            guard known.role == next.role else { throw Mistake(why: "its host names give it both roles") }
            if known.name == nil {
                found = next
            } else if let name = next.name, name != known.name {
                throw Mistake(why: "its host names give it more than one name")
            }
        }
        guard let found else {
            throw Mistake(
                why:
                    "it names no role: there is neither a URI spiffe://<trust domain>/sidereal-export/<role>/<name> nor "
                    + "a host name <name>.<role>.sidereal-export")
        }
        return found
    }

    private static func role(of host: String) -> PeerIdentity? {
        let labels = host.lowercased().split(separator: ".", omittingEmptySubsequences: false)
        guard host.utf8.count <= 253, labels.dropFirst().allSatisfy(isSegment) else { return nil }
        for position in 0...1 where labels.count > position + 1 {
            guard labels[position + 1] == "sidereal-export", let role = PeerRole(rawValue: String(labels[position]))
            else { continue }
            var name: String?
            if position == 1, labels[0] != "*" {
                guard isSegment(labels[0]) else { return nil }
                name = String(labels[0])
            }
            return PeerIdentity(role: role, name: name, trustDomain: nil, source: host)
        }
        return nil
    }

    private static func isSegment(_ text: Substring) -> Bool {
        !text.isEmpty && text.utf8.count <= 255
            && text.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: "_"):
                    true
                default: false
                }
            }
    }
}

extension PeerIdentity {
    /// Why the holder of `facts` is not let in by `self`; nil if it is: it must have the other role, and the same trust
    /// domain if both have one.
    func objection(to facts: CertificateFacts) -> String? {
        do throws(Mistake) {
            let other = try PeerIdentity(facts)
            guard other.role == role.other else { return "it is one of a \(other.role), \(other.source)" }
            if let mine = trustDomain, let theirs = other.trustDomain, mine != theirs {
                return "its trust domain is \(theirs), ours is \(mine)"
            }
            return nil
        } catch {
            return error.why
        }
    }
}
