package org.lolvit

/**
 * A failure that a user can cause or must act on. Anything else that this library throws is a bug.
 *
 * [message] is one line for logs: the code and the details. What a user reads is the app's: a string
 * for each [code], with the [details] filled in. The demo app has them in `strings_errors.xml`, to be
 * copied and translated.
 *
 * @property code what went wrong.
 * @property details values for the text, by name: paths, sizes, the names of what is unsupported.
 */
public class LolvitException(
    public val code: Code,
    public val details: Map<String, String>,
    cause: Throwable?,
) : Exception(line(code, details), cause) {

    public constructor(code: Code, vararg details: Pair<String, Any?>, cause: Throwable? = null) :
        this(code, details.associate { (name, value) -> name to value.toString() }, cause)

    /** What went wrong. Ids are stable: translations and logs depend on them. */
    public enum class Code {
        /** No `manifest.json`: `folder`. */
        MANIFEST_MISSING,

        /** A manifest that is damaged, or contradicts itself: `folder`, `reason`. */
        MANIFEST_INVALID,

        /** A manifest of a newer or unknown schema: `folder`, `version`, `supported`. */
        SCHEMA_UNSUPPORTED,

        /** A task that this library does not run: `folder`, `task`, `supported`. */
        TASK_UNSUPPORTED,

        /** A setting that this library does not implement: `folder`, `setting`, `value`, `supported`. */
        SETTING_UNSUPPORTED,

        /** Inputs or outputs that do not belong to the task: `folder`, `owner`, `found`, `expected`. */
        TENSORS_UNSUPPORTED,

        /** Another number of labels than classes: `folder`, `labels`, `classes`. */
        LABELS_MISMATCH,

        /** A model of another task than the predictor's: `model`, `task`, `expected`. */
        TASK_MISMATCH,

        /** A file that the manifest names is not there: `path`. */
        ARTIFACT_MISSING,

        /** An artifact of another size or sha256 than in the manifest: `path`, `reason`. */
        ARTIFACT_CHANGED,

        /** A path that leads out of the model's folder: `folder`, `path`. */
        PATH_LEAVES_FOLDER,

        /** A file that can't be read: `path`, `reason`. */
        UNREADABLE,

        /** A runtime that the app does not have: `engine`, `library`. */
        ENGINE_ABSENT,

        /** A device without the compute unit, or one that the runtime does not support: `engine`. */
        COMPUTE_UNIT_ABSENT,

        /** The model has no artifact for the engine: `engine`, `model`, `format`. */
        ENGINE_NOT_EXPORTED,

        /** The app does not carry the artifact: `engine`, `path`, `format`. */
        ENGINE_NOT_PACKAGED,

        /** No engine of that id: `engine`, `model`. */
        ENGINE_UNKNOWN,

        /** No runtime of that name: `runtime`, `available`. */
        RUNTIME_UNKNOWN,

        /** An artifact that this library can't feed: `path`, `reason`. */
        ENGINE_INCOMPATIBLE,

        /** A runtime of another version than the library was compiled with: `engine`, `reason`. */
        RUNTIME_MISMATCH,

        /** A runtime without its native library for this processor: `engine`, `reason`. */
        NATIVE_LIBRARY_MISSING,

        /** A runtime that rejects the artifact: `engine`, `path`, `reason`. */
        LOAD_FAILED,

        /** A runtime that failed in an inference: `engine`, `reason`. */
        RUN_FAILED,

        /** `what` needs more memory than there is. */
        OUT_OF_MEMORY,

        /** The first outputs are not the expected ones: `engine`, `snr_db`, `min_snr_db`. */
        SELF_CHECK_MISSED,

        /** Expected outputs that can't be read: `path`, `reason`. */
        SELF_CHECK_INVALID,

        /** No engine runs the model: `model`, `reasons`. */
        ALL_ENGINES_FAILED,

        /** An output with other values than the manifest allows: `output`, `found`, `expected`. */
        OUTPUT_MISMATCH,

        /** Outputs that are not finite: `engine`. */
        OUTPUT_NOT_FINITE,

        /** A photo that can't be decoded. */
        PHOTO_UNDECODABLE,

        /** A photo that can't be opened or read: `reason`. */
        PHOTO_UNAVAILABLE,

        /** A photo that would become too large: `width`, `height`. */
        PHOTO_TOO_ELONGATED,
        ;

        /** The code's name in strings and logs, such as `artifact_changed`. */
        public val id: String get() = name.lowercase()
    }

    private companion object {
        fun line(code: Code, details: Map<String, String>): String {
            val values = details.entries.joinToString(", ") { (name, value) -> "$name=$value" }
            val text = if (values.isEmpty()) code.id else "${code.id}: $values"
            return text.map { if (it.isISOControl()) ' ' else it }.joinToString("")
        }
    }
}
