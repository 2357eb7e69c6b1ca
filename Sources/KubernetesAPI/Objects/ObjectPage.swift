public import Formats

/// One page of a list.
public struct ObjectPage: Sendable {
    /// The objects.
    public let batch: ObjectBatch
    /// The list's `metadata.resourceVersion`: a watch from here misses nothing of what comes after this page's list began.
    public let resourceVersion: String
    /// Where the next page begins; nil behind the last one.
    public let continueToken: String?
    /// How many objects are behind this page; nil if the server does not say, as with every selector.
    public let remaining: Int?

    /// Reads the body of a list's answer.
    public init(_ body: [UInt8]) throws(APIObjectFault) {
        let bytes = body.span
        var cutter = ObjectCutter(capacity: body.count + 1)
        let list = try APIObjectScan.list(bytes, 0..<body.count) { cutter.add($0, bytes, .listed) }
        batch = cutter.finish()
        // Old and broken middlemen apart, a list has one; without it no watch can go on from here.
        guard let version = JSONAnswer.text(list.resourceVersion, bytes), !version.isEmpty,
            version.utf8.allSatisfy(ObjectName.isWord)
        else {
            throw APIObjectFault("the list has no metadata.resourceVersion")
        }
        resourceVersion = version
        let token = JSONAnswer.text(list.continueToken, bytes, limit: 4_097) ?? ""
        guard token.utf8.count <= 4_096 else { throw APIObjectFault("metadata.continue has more than 4096 bytes") }
        continueToken = token.isEmpty ? nil : token
        remaining = JSONAnswer.integer(list.remainingItemCount, bytes)
    }
}
