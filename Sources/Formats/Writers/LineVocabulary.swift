internal import Model

/// The profiles that Sidereal itself ships; all others are an organisation's own.
enum KnownProfile {
    case rbac, netpol, admission, secret, detection

    /// The profile that `profile` names; nil for an organisation's own. Escapes in the name make no difference.
    @inline(__always) static func find(_ profile: JSONValue, _ bytes: Span<UInt8>) -> KnownProfile? {
        guard !profile.hasEscapes else {
            let decoded = JSONEntry.decodedKey(profile, bytes)
            return find(decoded.span, 0..<decoded.count)
        }
        return find(bytes, profile.range)
    }

    private static func find(_ name: Span<UInt8>, _ range: Range<Int>) -> KnownProfile? {
        switch range.count {
        case 4: LineVocabulary.equals(name, range, "rbac") ? .rbac : nil
        case 6:
            LineVocabulary.equals(name, range, "netpol")
                ? .netpol : (LineVocabulary.equals(name, range, "secret") ? .secret : nil)
        case 9:
            LineVocabulary.equals(name, range, "admission")
                ? .admission : (LineVocabulary.equals(name, range, "detection") ? .detection : nil)
        default: nil
        }
    }
}

enum LineVocabulary {
    /// Whether `bytes[range]` begins with `text`.
    static func begins(_ bytes: Span<UInt8>, _ range: Range<Int>, _ text: StaticString) -> Bool {
        let length = text.utf8CodeUnitCount
        return range.count >= length && equals(bytes, range.lowerBound..<range.lowerBound + length, text)
    }

    /// Whether `bytes[range]` is `text`.
    @inline(__always) static func equals(_ bytes: Span<UInt8>, _ range: Range<Int>, _ text: StaticString) -> Bool {
        guard range.count == text.utf8CodeUnitCount else { return false }
        for index in 0..<range.count {
            guard unsafe bytes[range.lowerBound &+ index] == text.utf8Start[index] else { return false }
        }
        return true
    }
}

extension ExportStamp {
    /// `version` or `cluster` as members of a JSON object, with a comma between them, for those that are not written
    /// exactly elsewhere.
    func exactMembers(version isVersionInexact: Bool, cluster isClusterInexact: Bool) -> SealedBytes {
        var out = ByteWriter(capacity: 64)
        if isVersionInexact {
            out.append("\"sidereal.export.version\":\"")
            JSONText.escape(Array(version.utf8).span, into: &out)
            out.append(0x22)
        }
        if isClusterInexact {
            if isVersionInexact { out.append(0x2C) }
            out.append("\"sidereal.export.cluster\":\"")
            JSONText.escape(Array(cluster.utf8).span, into: &out)
            out.append(0x22)
        }
        return out.seal()
    }
}
