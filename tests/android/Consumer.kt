import java.io.File
import kotlinx.coroutines.runBlocking
import org.lolvit.Classifier
import org.lolvit.Engines
import org.lolvit.FolderSource
import org.lolvit.LolvitException
import org.lolvit.ModelSpec

/** Opens the model in a folder, and the models of a folder that has none, with the library as a jar. */
fun main(arguments: Array<String>) {
    val source = FolderSource(File(arguments[0]))
    val spec = ModelSpec.load(source)
    println("${spec.name} ${spec.task.id} ${spec.size} ${spec.classes}")
    for (choice in Engines.choices(spec)) println("${choice.id} ${choice.missing?.code?.id}")
    val choice = Engines.choices(spec).first { it.missing == null }
    Classifier(source, choice).use { println("opened ${runBlocking { it.prewarm() }.choice.id}") }
    try {
        ModelSpec.load(FolderSource(File(arguments[1])))
    } catch (failure: LolvitException) {
        println(failure.code.id)
    }
}
