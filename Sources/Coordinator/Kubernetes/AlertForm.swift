import ExportCore
import KubernetesAPI
import Model

/// Alerts as objects of the API. Pure. They are read as in a store's directory (``StoreText``).
enum AlertForm {
    /// Longest message, bytes; as much as is read.
    static let maxMessageBytes = 16 << 10

    /// The object, to be created.
    static func object(_ alert: SystemAlert, namespace: String, fence: Fence) -> [UInt8] {
        JSONBody.object { body in
            body.add(.systemAlerts)
            body.add("metadata") { metadata in
                metadata.add("name", alert.name)
                metadata.add("namespace", namespace)
                metadata.add("labels") { $0.add("app.kubernetes.io/managed-by", "sidereal-export") }
                metadata.add("annotations") { list in
                    list.add(LeaseForm.prefix + "raised-by", fence.holder)
                    list.add(LeaseForm.prefix + "raised-in-term", "\(fence.term)")
                }
            }
            body.add("spec") { spec in
                spec.add("reason", alert.reason)
                spec.add("message", TextCut.prefix(alert.message, bytes: maxMessageBytes))
                spec.add("acknowledged", false)
            }
        }
    }

    /// The newest alerts of ours, as they are found in a list of any order, and no more of them than are wanted.
    struct Newest {
        private let limit: Int
        private var kept: [(created: Int64, alert: SystemAlert)] = []

        init(limit: Int) { self.limit = limit }

        /// Takes an object in. What is no alert, or one for another reason, or of another name than those of episodes, is none of
        /// ours, and takes no room from them.
        mutating func add(_ json: @autoclosure () -> [UInt8], name: String, createdMilliseconds: Int64) {
            guard Episode.named(name) != nil, let alert = StoreText.alert(json(), name: name),
                alert.reason == SystemAlert.exportDegraded
            else { return }
            kept.append((createdMilliseconds, alert))
            if kept.count >= 2 * limit { shorten() }
        }

        /// The newest first.
        mutating func list() -> [SystemAlert] {
            shorten()
            return kept.map(\.alert)
        }

        private mutating func shorten() {
            kept.sort { ($0.created, $0.alert.name) > ($1.created, $1.alert.name) }
            kept.removeLast(max(0, kept.count - limit))
        }
    }
}
