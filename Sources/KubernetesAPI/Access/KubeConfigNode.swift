import Crypto
import YAML

/// One mapping of a kubeconfig, and where it stands.
struct KubeConfigNode {
    private let node: Node
    private let path: String
    private let file: String

    init(_ node: Node, path: String, file: String) {
        self.node = node
        self.path = path
        self.file = file
    }

    /// An error about this place.
    func trouble(_ kind: AccessError.Kind, _ what: String) -> AccessError {
        let line = " (line \(node.mark.line))"
        return AccessError(kind, "\(file)\(path.isEmpty ? "" : ": \(path)")\(path.isEmpty ? "" : line): \(what)")
    }

    /// Whether the key is there with a value other than `null`, an empty list and an empty mapping.
    func has(_ key: String) -> Bool { value(key) != nil }

    private func value(_ key: String) -> Node? {
        guard let value = node[key] else { return nil }
        if let scalar = value.scalar { return scalar.isNull ? nil : value }
        return value.mapping?.isEmpty == true || value.sequence?.isEmpty == true ? nil : value
    }

    /// The text of a scalar; nil if it is not there.
    func text(_ key: String) throws(AccessError) -> String? {
        guard let value = value(key) else { return nil }
        guard let scalar = value.scalar else { throw trouble(.malformed, "\(key) must be a single value") }
        return scalar.text
    }

    /// The texts of a list of scalars.
    func texts(_ key: String) throws(AccessError) -> [String] {
        guard let value = value(key) else { return [] }
        guard let list = value.sequence else { throw trouble(.malformed, "\(key) must be a list") }
        var texts: [String] = []
        for entry in list {
            guard let scalar = entry.scalar else { throw trouble(.malformed, "\(key) must be a list of texts") }
            texts.append(scalar.text)
        }
        return texts
    }

    /// A mapping below this one; nil if it is not there.
    func child(_ key: String) throws(AccessError) -> KubeConfigNode? {
        guard let value = value(key) else { return nil }
        guard value.mapping != nil else { throw trouble(.malformed, "\(key) must be a mapping") }
        return KubeConfigNode(value, path: path.isEmpty ? key : "\(path).\(key)", file: file)
    }

    /// The mappings of a list.
    func children(_ key: String) throws(AccessError) -> [KubeConfigNode] {
        guard let value = value(key) else { return [] }
        guard let list = value.sequence else { throw trouble(.malformed, "\(key) must be a list") }
        var children: [KubeConfigNode] = []
        for (index, entry) in list.enumerated() {
            guard entry.mapping != nil else { throw trouble(.malformed, "\(key)[\(index)] must be a mapping") }
            children.append(
                KubeConfigNode(entry, path: (path.isEmpty ? "" : "\(path).") + "\(key)[\(index)]", file: file))
        }
        return children
    }

    /// The mapping `inner` of the entry of `list` that is called `name`; the first one, as kubectl has it.
    ///
    /// - Parameter source: who says `name`, for an error.
    func named(
        _ list: String, _ name: String, _ inner: String, by source: String
    ) throws(AccessError) -> KubeConfigNode {
        var known: [String] = []
        for entry in try children(list) {
            let found = try entry.text("name") ?? ""
            if found == name {
                if let child = try entry.child(inner) { return child }
                throw entry.trouble(.missing, "\(inner) is missing")
            }
            known.append(PlainText.line(found, limit: 60))
        }
        let shown = PlainText.line(name, limit: 100)
        throw trouble(
            .missing, "\(list) has no entry with name \(shown), which \(source) asks for; \(Self.words(known))")
    }

    /// What there is instead, for who made a mistake in a name.
    private static func words(_ names: [String]) -> String {
        guard !names.isEmpty else { return "it has none at all" }
        let rest = names.count > mostNames ? " and \(names.count - mostNames) more" : ""
        return "it has \(names.prefix(mostNames).joined(separator: ", "))\(rest)"
    }

    private static let mostNames = 10

    /// What a base 64 value holds; nil if it is not there.
    func decoded(_ key: String) throws(AccessError) -> [UInt8]? {
        guard let text = try text(key) else { return nil }
        guard let bytes = Base64.decode(text) else {
            throw trouble(.malformed, "\(key) is not base 64 (RFC 4648, section 4)")
        }
        return bytes
    }

    /// A path, relative to the file's folder; nil if it is not there.
    func filePath(_ key: String) throws(AccessError) -> String? {
        guard let path = try text(key), !path.isEmpty else { return nil }
        return path.hasPrefix("/") ? path : "\(folder)/\(path)"
    }

    /// A command: a name is looked up, a path is relative to the file's folder.
    func resolved(_ command: String) -> String {
        command.contains("/") && !command.hasPrefix("/") ? "\(folder)/\(command)" : command
    }

    private var folder: String {
        guard let slash = file.lastIndex(of: "/") else { return "." }
        return slash == file.startIndex ? "" : String(file[..<slash])
    }
}
