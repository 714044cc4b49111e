import org.jetbrains.kotlin.gradle.dsl.JvmTarget

plugins {
    alias(libs.plugins.android.library)
    alias(libs.plugins.kotlin.android)
}

android {
    namespace = "org.lolvit"
    compileSdk = 35

    defaultConfig {
        minSdk = 26
        consumerProguardFiles("consumer-rules.pro")
    }
    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_1_8
        targetCompatibility = JavaVersion.VERSION_1_8
    }
}

kotlin {
    explicitApi()
    compilerOptions { jvmTarget = JvmTarget.JVM_1_8 }
}

dependencies {
    implementation(libs.kotlinx.coroutines.android)
    // Compiled against alone: an app brings the runtimes that it wants, and the library asks which are there.
    compileOnly(libs.litert)
    compileOnly(libs.onnxruntime.android)
    // The tests compile by these. `make android-test` runs them: it makes what they compare with.
    testImplementation(libs.litert)
    testImplementation(libs.onnxruntime.jvm)
    testImplementation(libs.robolectric)
    testImplementation(libs.junit)
}
