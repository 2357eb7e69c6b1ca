public import Model

/// A credential in a file of its own, outside the secrets directory: the tokens that Kubernetes projects into a pod.
public enum SecretFile {
    /// Its content without one line break at its end; nil if there is no such file. Read anew each time.
    public static func read(path: String) throws(SecretError) -> Secret? {
        try FileContent.read(path: path)?.secret
    }
}
