package import ExportCore
import Formats
import KubernetesAPI
import Model
package import Protocol

/// What the objects of results say of their export, and the patches that change it. Pure.
///
/// | in the object | is |
/// |---|---|
/// | `spec.audit.exportStatus` | `Pending`, `Failed`, `Exported` (``ResultStatus/State``) |
/// | `spec.audit.exportedAt` | when it became `Exported`, RFC 3339 |
/// | annotation `export.sidereal.cloud/targets` | how it stands at each target: `{"soc-splunk":"delivered","archive":"dead"}`; `failed` where an attempt failed and attempts go on, nothing where nothing is known |
/// | annotation `export.sidereal.cloud/targets-of` | the `metadata.uid` of the object that the former speaks of; without it, or with another, that is not believed (``ObjectEntry/targets``) |
package enum KubernetesStatusText {
    /// The annotation.
    package static let annotation = "export.sidereal.cloud/targets"
    /// The annotation that says of which object.
    package static let owner = "export.sidereal.cloud/targets-of"
    /// Bytes that are kept of what the annotation says of targets that are not today's.
    private static let mostOtherBytes = 4 << 10
    private static let (delivered, dead, failed) = ("delivered", "dead", "failed")

    /// What an object says. An annotation that cannot be read says nothing: then it goes out once more.
    static func seen(_ batch: ObjectBatch, _ entry: ObjectEntry, targets: [String]) -> StatusRound.Seen {
        var seen = StatusRound.Seen(
            version: batch.resourceVersion(entry), status: ResultStatus(state: state(entry.state)))
        guard let text = batch.targets(entry), let members = JSONAnswer.members(text.span, 0..<text.count) else {
            return seen
        }
        for (name, value) in members {
            let word = JSONAnswer.text(value, text.span, limit: 64) ?? ""
            guard let target = targets.firstIndex(of: name) else {
                keep(name, word, in: &seen)
                continue
            }
            var told = ResultStatus.Word()
            switch word {
            case delivered: told.delivered = TargetMask(target)
            case dead: told.dead = TargetMask(target)
            case failed: told.failed = TargetMask(target)
            default: break
            }
            seen.status.word = seen.status.word.adding(told)
        }
        return seen
    }

    private static func keep(_ name: String, _ word: String, in seen: inout StatusRound.Seen) {
        guard !word.isEmpty else { return }
        // The member with a comma in place of the brace before it.
        let member = JSONBody.object { $0.add(name, word) }.dropFirst().dropLast()
        guard seen.others.utf8.count + member.count < mostOtherBytes else { return }
        seen.others += "," + String(decoding: member, as: UTF8.self)
    }

    private static func state(_ state: ExportState) -> ResultStatus.State {
        switch state {
        case .pending, .other: .pending
        case .failed: .failed
        case .exported: .exported
        }
    }

    /// The annotation's text.
    package static func marks(_ seen: StatusRound.Seen, targets: [String]) -> String {
        let word = seen.status.word
        let ours = JSONBody.object { body in
            for (target, name) in targets.enumerated() {
                if word.delivered.contains(target) {
                    body.add(name, delivered)
                } else if word.dead.contains(target) {
                    body.add(name, dead)
                } else if word.failed.contains(target) {
                    body.add(name, failed)
                }
            }
        }
        let text = String(decoding: ours.dropFirst().dropLast(), as: UTF8.self)
        return "{" + (text.isEmpty ? String(seen.others.dropFirst()) : text + seen.others) + "}"
    }

    /// The merge patch (RFC 7386) that makes the object of `key` say what `seen` says, if it still is in that version.
    static func patch(
        _ seen: StatusRound.Seen, of key: RecordKey, targets: [String], milliseconds: Int64
    ) -> [UInt8] {
        JSONBody.object { body in
            body.add("metadata") { metadata in
                metadata.add("resourceVersion", seen.version)
                metadata.add("annotations") { annotations in
                    annotations.add(annotation, marks(seen, targets: targets))
                    annotations.add(owner, uid(key))
                }
            }
            guard seen.status.state != .pending else { return }
            body.add("spec") { spec in
                spec.add("audit") { audit in
                    audit.add("exportStatus", seen.status.state == .exported ? "Exported" : "Failed")
                    if seen.status.state == .exported { audit.add("exportedAt", StoreText.time(milliseconds)) }
                }
            }
        }
    }

    /// A uid as API servers write it.
    package static func uid(_ key: RecordKey) -> String {
        let digits = Array("0123456789abcdef".utf8)
        var text: [UInt8] = []
        text.reserveCapacity(36)
        for half in [key.high, key.low] {
            for shift in stride(from: 60, through: 0, by: -4) {
                if [8, 13, 18, 23].contains(text.count) { text.append(0x2D) }
                text.append(digits[Int(half >> UInt64(shift) & 15)])
            }
        }
        return String(decoding: text, as: UTF8.self)
    }
}
