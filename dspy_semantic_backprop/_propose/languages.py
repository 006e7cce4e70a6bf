# ruff: noqa: E501, RUF001 - lists of words, in the letters of other alphabets
"""Orders that no user gives a program, in languages other than English.

A sentence is an order by what stands in it together, in whatever order the language has: a verb that drops and what
the program was told before; a verb that sends, somebody's data, and somewhere outside; a verb that tells, and a secret
or the hidden instructions. Each language has its own words for these; a sentence that denies the verb, asks whether, or
quotes it is none. A language that is not here is protected by what needs no words: addresses, what nobody sees,
encoded texts, the marks of a chat, and by `unread`.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

_SENTENCE = re.compile(r"[^.!?;\n\u3002\uff01\uff1f\u061f\u061b\u0964]+")
_CLAUSE = re.compile(r"[,:\uff0c\u3001\u060c]")
_QUOTED = re.compile(
    r"(?<=\S)\s*[\"\u201c\u201e\u00ab\u300c\u300e`][^\"\u201d\u201c\u00bb\u300d\u300f`]*(?:[\"\u201d\u201c\u00bb\u300d\u300f`]|$)|(?<!\w)'[^'\n]+'"
)
_ENGLISH = re.compile(r"\b(?:the|and|with|your|never|how|this|that|from|any|are|its|when|which|each)\b", re.I)
"""What stands in nearly every English sentence, which other rules judge, and in no other language here."""
_NOT_ARABIC = re.compile(r"[\u067e\u0686\u0698\u06a9\u06af\u06cc]")
"""Letters of Persian, Kurdish and Urdu, whose words mean other things than the Arabic ones that they look like."""
_EVERYWHERE = {
    "rules": "prompt",
    "away": r"server|webhook|url|link|endpoint|telegram|whatsapp|discord|pastebin|api",
    "secret": r"api[ -]?keys?|tokens?(?!\w)|passwords?(?!\w)|credentials|cookies?(?!\w)",
    "hidden": r"system[ -]?prompt|developer message|prompt system",
}


class Words(NamedTuple):
    """A language's words, as regular expressions: each the beginning of a word, or any part where words have no gaps.

    Args:
        drop: To ignore or forget.
        disobey: Not to follow, with its denial.
        rules: Instructions, rules.
        before: Earlier, original, yours.
        above: All that was said.
        send: To send away.
        data: Somebody, and what he says.
        away: Where data may be sent to.
        tell: To show, to write, to add.
        secret: Passwords and what is like them.
        hidden: The system prompt.
        denied: Not, never.
        told: Whether, asks to.
        gaps: Whether a word's beginning can be told.
        verb_last: Whether what is told of comes before "whether".
    """

    drop: str
    disobey: str
    rules: str
    before: str
    above: str
    send: str
    data: str
    away: str
    tell: str
    secret: str
    hidden: str
    denied: str
    told: str
    gaps: bool = True
    verb_last: bool = False


_LANGUAGES = (
    # German
    Words(
        r"ignorier|missacht|vergiss|vergess|verwirf|verwerf|umgeh|übergeh|überschreib|setz\w*(?: \w+){0,4} hinweg",
        r"(?:befolg|folg|gehorch|beacht|halte?\b)\w*(?: \w+){0,4} (?:nicht|kein\w*)\b",
        r"anweisung|vorgabe|regel|instruktion|richtlinie|befehl|weisung|einschränkung|sicherheitsregel|sicherheitsvorgabe",
        r"vorherig|bisherig|früher|obig|oben|ursprünglich|vorig|vorangeh|zuvor|system|deine|ihre|eure|alle\b",
        r"alles(?:,? was)?(?: \w+){0,2} (?:oben|vorher|bisher|zuvor|davor)|alles (?:vorherige|obige|bisherige)|alles,? was du|(?:alle )?sicherheits(?:regel|filter|vorgabe|vorkehrung)",
        r"send(?:e|en)?\b|schick(?:e|en)?\b|leite[tn]?\b|übermitt(?:le|eln)|übertrag(?:e|en)?\b|lad(?:e|en)\b|poste[n]?\b"
        r"|maile\b|veröffentlich(?:e|en)\b",
        r"nutzer|benutzer|kunde|patient|anwender|frage|eingabe|nachricht|gespräch|unterhaltung|antwort|daten|anfrage|verlauf"
        r"|inhalt|alles|text",
        r"adresse|webseite|seite\b|internetseite|endpunkt|dritte|angreifer|extern|fremde",
        r"gib|geben|nenn|zeig|füg|häng|schreib|druck|wiederhol|verrat|offenbar|leg|beend|beginn|setz|stell|teil|list"
        r"|send(?:e|en)\b|schick|antworte",
        r"passw(?:o|ö)rt(?:e?s|er|ern)?\b|kennw(?:o|ö)rt(?:e?s|er|ern)?\b|zugangsdaten\b|api-?schlüssel|geheimschlüssel"
        r"|kreditkartennummer|zugriffstoken",
        r"systemprompt|systemanweisung|systemnachricht|(?:versteckt|geheim|intern|verborgen)\w* (?:anweisung|prompt|regel)",
        r"nicht|nie|niemals|kein\w*|ohne|weder|vermeid\w*",
        r"ob\b|aufforder|auffordert|verlangt|bittet|fordert|behauptet|versuch",
    ),
    # French
    Words(
        r"ignore[zr]?\b|oublie[zr]?\b|néglige[zr]?\b|contourne[zr]?\b|outrepasse[zr]?\b|fais abstraction|faites abstraction",
        r"ne (?:suis|suivez|respecte[zr]?|tiens|tenez|obéis|obéissez|applique[zr]?)(?: \w+){0,2}? (?:pas|plus|jamais)\b",
        r"instruction|consigne|règle|directive|ordre|indication|restriction|contrainte|filtre",
        r"précédent|antérieur|ci-dessus|initial|d'origine|original|tes\b|vos\b|ton\b|votre\b|système|toutes les|tous les",
        r"tout ce qui (?:précède|est (?:écrit )?(?:au-dessus|plus haut)|a été dit)|tout ce que (?:tu|vous)(?: \w+){0,3}"
        r"|ce qui précède|(?:règles|filtres|mesures) de sécurité",
        r"envoie[zr]?\b|envoyer|envoyez|transmet|transfère|transfére|poste[zr]?\b|publie[zr]?\b|partage[zr]?\b|communique[zr]?\b"
        r"|fais parvenir",
        r"utilisateur|client|patient|question|message|conversation|réponse|donnée|requête|historique|contenu|texte|tout",
        r"adresse|site|serveur|lien|tiers|externe|extérieur|attaquant",
        r"affiche|montre|donne|révèle|révéle|ajoute|écris|écrivez|inclu|répète|répéte|imprime|indique|mets|mettez|termine"
        r"|commence|envoie|envoye|communique|cite",
        r"mots? de passe|clés? (?:api|d'api|secrète)|identifiants? de connexion|jeton|numéros? de carte",
        r"prompt (?:du )?système|message système|(?:instructions?|consignes?|règles?) (?:cachée|secrète|interne|système"
        r"|du système)",
        r"ne|n'|pas|jamais|sans|ni|aucun\w*|évite[zr]?",
        r"indique si|dis si|vérifie[zr]? si|détermine[zr]? si|si le|si la|demande\b|demandent|tente|essai",
    ),
    # Spanish
    Words(
        r"ignor[ae]n?\b|olvid[ae]n?\b|omit[ae]n?\b|descart[ae]n?\b|desestim[ae]|elud[ae]|haz caso omiso|haga caso omiso|ignorar"
        r"|olvidar|pasa por alto",
        r"(?:no|nunca|jamás|deja de|dej[ae] de)(?: \w+)?? (?:sig[ao]s?|segu\w+|respet\w+|obedezcas?|obedec\w+|cumpl\w+"
        r"|hagas? caso)",
        r"instruccion|regla|directriz|directric|orden|órdenes|indicacion|norma|restriccion|filtro",
        r"anterior|previ|de arriba|original|inicial|tus\b|tu\b|sus\b|del sistema|todas las|todos los",
        r"todo lo (?:anterior|de arriba|dicho|previo|que (?:te|se ha|has|sabes|está (?:escrito )?(?:arriba|antes)))|lo anterior"
        r"|(?:reglas|filtros|medidas|restricciones) de seguridad",
        r"env[ií][aáe]\w*|reenv[ií][aáe]\w*|transmit[ae]\b|mand[ae]\b|public[ae]\b|publique|compart[ae]\b|sub[ae]\b|remit[ae]\b",
        r"usuari|cliente|paciente|pregunta|mensaje|conversaci|respuesta|dato|consulta|historial|contenido|texto|todo",
        r"direcci|sitio|servidor|enlace|página web|tercero|extern|atacante",
        r"muestr|mostr|da\b|di\b|dime|revel|añad|agreg|escrib|inclu|repit|imprim|indica|pon\b|ponga|termin|comienz|enví|cit[ae]",
        r"contraseña|claves? (?:api|de api|secreta|de acceso)|credencial|número\w* de tarjeta",
        r"prompt del sistema|mensaje del sistema|(?:instrucciones|reglas) (?:ocultas|secretas|internas|del sistema)",
        r"no|nunca|jamás|sin|ni|ningun\w*|evit\w*",
        r"indica si|di si|si el|si la|comprueba si|pide\b|piden\b|solicita\b|intent",
    ),
    # Italian
    Words(
        r"ignor[ai]n?o?\b|ignorare|dimentic\w+|trascur[ai]\b|scart[ai]\b|aggir[ai]\b|non tenere conto|lascia perdere",
        r"(?:non|smetti di|mai)(?: \w+)?? (?:segu\w+|rispett\w+|obbedi\w+|applic\w+)",
        r"istruzion|regol|direttiv|ordin|indicazion|norme|restrizion|filtr|ruolo",
        r"precedent|sopra|original|inizial|tue\b|tuoi\b|tuo\b|vostre|di sistema|del sistema|tutte le|tutti i",
        r"tutto (?:quello|ciò) che (?:ti|hai|sai|è (?:stato )?(?:scritto |detto )?(?:sopra|prima))|tutto il precedente"
        r"|quanto (?:sopra|precede|detto)|(?:regole|filtri|misure) di sicurezza",
        r"invi[aio]\w*|inoltr[aio]\w*|trasmett\w+|mand[ai]\b|spedis\w+|pubblic\w+|condivid\w+|carica\b",
        r"utent|client|pazient|domand|messaggi|conversazion|rispost|dati\b|richiest|cronologia|contenut|testo|tutto",
        r"indirizz|sito|collegament|pagina web|terz[ei]|estern|aggressore",
        r"mostr|dai\b|dimmi|rivel|aggiung|scriv|includ|ripet|stamp|indica|metti|termin|inizia|invia|cita",
        r"chiav[ei] (?:api|segret|di accesso)|credenzial|parola d'ordine|numer\w+ di carta|passw",
        r"prompt di sistema|messaggio di sistema|(?:istruzioni|regole) (?:nascoste|segrete|interne|di sistema)",
        r"non|mai|senza|né|nessun\w*|evita\w*",
        r"indica se|dì se|se il|se la|verifica se|chiede\b|chiedono\b|tenta|cerca di",
    ),
    # Portuguese
    Words(
        r"ignor[ea]m?\b|ignorar|esque[cç]\w*|desconsider\w+|desrespeit\w+|descart\w+|contorn[ea]\b",
        r"(?:não|nunca|jamais|pare de|deixe de)(?: \w+)?? (?:sig[ao]\w*|segu\w+|obede\w+|respeit\w+|cumpr\w+)",
        r"instruç|regra|diretriz|ordem|ordens|orienta|restriç|filtro",
        r"anterior|prévi|acima|origina|inicia|suas\b|sua\b|seus\b|tuas\b|do sistema|todas as|todos os",
        r"tudo (?:o )?que (?:te|lhe|você|foi|está (?:escrito )?acima)|tudo acima|tudo (?:o )?anterior|o que foi dito"
        r"|(?:regras|filtros|medidas) de segurança",
        r"envi[ea]\w*|encaminh\w+|transmit\w+|mand[ea]\b|public\w+|publique|compartilh\w+|suba\b|remet\w+",
        r"usuári|utilizador|cliente|paciente|pergunta|mensage|conversa|resposta|dados\b|consulta|histórico|conteúdo|texto|tudo",
        r"endereço|servidor|terceiro|extern|página web|atacante",
        r"mostr|dê\b|diga\b|revel|adicion|escrev|inclu|repit|repet|imprim|indique|coloq|termin|comec|envi|acrescent|cite",
        r"senha|chaves? (?:api|de api|secreta|de acesso)|credencia|palavra-passe|número\w* (?:de|do) cartão",
        r"prompt do sistema|mensagem do sistema|(?:instruções|regras) (?:ocultas|secretas|internas|do sistema)",
        r"não|nunca|jamais|sem|nem|nenhum\w*|evite\w*",
        r"diga se|indique se|se o|se a|verifique se|pede\b|pedem\b|solicita\b|tenta",
    ),
    # Dutch
    Words(
        r"negeer|negeren|vergeet|vergeten|omzeil|veronachtzaam|overschrijf|sla(?: \w+){0,4} over",
        r"(?:volg|gehoorzaam|houd)\w*(?: \w+){0,4} (?:niet|geen)\b",
        r"instructie|regel|opdracht|richtlijn|aanwijzing|bevel|beperking|filter",
        r"vorige|eerder|voorgaand|bovenstaand|hierboven|oorspronkelijk|initiële|jouw|uw\b|je\b|systeem|alle\b",
        r"alles(?: wat)?(?: \w+){0,3} (?:hierboven|hiervoor|eerder|boven|voorafgaand)|alles hierboven|veiligheids(?:regel|filter|maatregel)",
        r"stuur|sturen|verstuur|verzend|zend|mail\b|upload|publiceer|deel\b|post\b|lever",
        r"gebruiker|klant|patiënt|vraag|vragen|bericht|gesprek|antwoord|gegevens|invoer|geschiedenis|inhoud|alles|tekst",
        r"adres\b|website|webpagina|derde|extern|aanvaller|koppeling",
        r"toon|geef|noem|voeg|schrijf|druk|herhaal|onthul|vermeld|zet|plaats|begin|eindig|stuur|citeer|laat",
        r"wachtwoord(?:en)?\b|api-?sleutel|inloggegevens|geheime sleutel|creditcardnummer|toegangstoken",
        r"systeemprompt|systeembericht|systeeminstructie|(?:verborgen|geheime|interne) (?:instructie|prompt|regel)",
        r"niet|nooit|geen|zonder|noch|vermijd\w*",
        r"of (?:de|het|een|er)\b|vraagt om|verzoekt|vraagt\b|prob",
    ),
    # Russian and Ukrainian
    Words(
        r"(?:про)?[иі]гнор\w+|забуд\w+|отбрось|отброс|отмени|обойди|обходи|отключи|пренебрег|не обращай\w* внимания|не учитывай",
        r"(?:не|никогда не|перестань)(?: \w+)?? (?:след\w+|выполн\w+|соблюд\w+|подчин\w+|придержив\w+|слушай)",
        r"[иі]нструкц[иі]|правил|указани|вказівк|команд|директив|промпт|установк|ограничени|запрет|фильтр",
        r"предыдущ|попередн|прежн|прошл|выше|исходн|изначальн|первоначальн|тво[ийеёяю]|сво[ийеёяю]|ваш|системн|вс[еі]\b|всех",
        r"вс[её],?(?: что)?(?: \w+){0,3} (?:выше|ранее|раньше|до этого)|вс[её] (?:выше|пред|ранее)|вс[её],? что ты|фильтр\w* безопасност",
        r"(?:пере|от|по|на|над[іи]?)?(?:сыла|сила|шли|сла|прав)\w*|перешли|передай\w*|передава\w*|загрузи\w*|опубликуй\w*|выложи",
        r"пользовател|клиент|користувач|пациент|вопрос|запитанн|сообщени|повідомл|разговор|диалог|ответ|данн|запрос|истори|содержим|текст|вс[её]\b",
        r"адрес|сервер|сайт|ссылк|третьи|внешн|зовніш|сторонн|злоумышленник|канал",
        r"вывед|вывод|покаж|показыва|добав|назов|называ|напиш|включ|повтор|раскро|напечата|сообщ|выда|встав|закан|начин"
        r"|отправ|приложи|укажи",
        r"парол(?!\w*\s+(?:должен|сбро))|ключ\w* api|api[ -]?ключ|секретн\w+ ключ|учётн\w+ данн|учетн\w+ данн|токен"
        r"|номер\w* карт",
        r"системн\w+ (?:промпт|инструкц|сообщени|подсказк)|(?:скрыт|секретн|внутренн)\w+ (?:инструкц|промпт|правил)|(?:весь|твой|свой|полный) промпт",
        r"не|никогда|нельзя|без|ни|избегай\w*|запрещ\w*",
        r"ли\b|прос[ияе]т|требу[ею]т|призывает|предлагает|пыта[ею]т|попытк",
    ),
    # Chinese
    Words(
        "忽略|忘记|忘掉|无视|忽视|抛弃|绕过|覆盖|丢弃|忽略掉|不理会|不用理会|忽略|無視|忘記",
        "(?:不要?再?|不必|别再?|停止|无需|无须|不得)(?:继续)?(?:遵守|遵循|遵从|服从|执行|听从|理会|按照)",
        "指令|指示|规则|说明|提示|命令|要求|规定|限制|设定|規則|过滤|审查",
        "之前|以前|先前|此前|以上|上面|上述|前面|原来|原有|原先|原本|最初|初始|你的|您的|系统|所有|全部|一切|既定",
        "(?:上面|以上|之前|前面|上述|先前)的?(?:所有|全部|一切|任何)?(?:的)?(?:内容|文字|东西|话|信息)|(?:上面|以上)的?(?:所有|一切|全部)",
        "发送|发给|发到|转发|传送|传给|上传|传输|提交|寄到|寄给|泄露给|发布|分享|发往",
        "用户|客户|顾客|患者|问题|消息|对话|聊天|回答|答案|数据|资料|信息|内容|请求|输入|记录|全部",
        "地址|服务器|网址|网站|链接|第三方|外部|邮箱|攻击者|频道|账号|主机|站点",
        "输出|显示|展示|告诉|给出|附上|附加|添加|写出|写上|写入|包含|重复|复述|打印|透露|公开|列出|泄露|加上|说出|提供|发送",
        "密码(?!规则|重置|长度|强度|策略|要求|格式|问题)|密钥|口令|凭证|凭据|令牌|信用卡号|私钥",
        "系统(?:的)?(?:提示词?|指令|消息|信息|prompt)|(?:隐藏|秘密|内部|初始)的?(?:指令|提示词?|规则|说明)",
        "不要|不得|不能|不可|不应|绝不|切勿|请勿|勿|别|禁止|避免|不许|不准|从不",
        "是否|有没有|要求你|试图|企图|尝试|会不会|能否",
        gaps=False,
    ),
    # Japanese
    Words(
        "無視|忘れ|忘却|破棄|取り消|無効|スキップ|上書き|棚上げ",
        "(?:従わな|従うな|従うの(?:を|は)や|守らな|守るな|守るの(?:を|は)や|遵守しな|従う必要は)",
        "指示|命令|ルール|規則|ガイドライン|プロンプト|指針|制約|制限|方針|設定",
        "以前|これまで|今まで|上記|前の|先の|先ほど|元の|当初|最初|初期|あなたの|既存|従来|すべて|全て|全部|システム|上の",
        "(?:上記|上|以前|これまで|前|今まで)(?:の|に)?[^、]{0,8}(?:内容|こと|もの|文章|会話|書かれ)|上記を",
        "送信|送って|送り|送る|転送|投稿|アップロード|公開|共有|提出|送付|通知",
        "ユーザー|ユーザ|利用者|顧客|お客様|患者|質問|メッセージ|会話|回答|返答|データ|情報|内容|入力|履歴|リクエスト",
        "アドレス|サーバー?|サイト|リンク|第三者|外部|宛先|攻撃者|チャンネル|アカウント",
        "出力|表示|示し|見せ|教え|付け加え|追加|追記|含め|書い|書き|繰り返|印刷|開示|列挙|明か|記載|添え|公開|入れ|送信",
        "パスワード(?!のリセット|の規則|の要件|の長さ|の強度)|暗証番号|秘密鍵|認証情報|APIキー|トークン|クレジットカード番号",
        "システム(?:の)?(?:プロンプト|指示|メッセージ|命令)|(?:隠し|隠された|秘密の|内部の)(?:指示|プロンプト|ルール)",
        "ないで|ないよう|ません|しない|な(?:$|。)|決して|禁止|避け|ず(?:に|、)",
        "かどうか|よう(?:に)?(?:求め|要求|指示|頼|促)|ように言|か(?:を)?(?:判定|確認|判断)|という(?:文|指示|要求)|ようとする|試み",
        gaps=False,
        verb_last=True,
    ),
    # Korean
    Words(
        "무시|잊|무효|폐기|덮어|건너뛰|제쳐",
        "(?:따르|지키|준수하|복종하)(?:지 (?:마|말|않)|는 것을 (?:멈|그만|중))",
        "지시|명령|규칙|지침|프롬프트|가이드라인|안내|제한|설정",
        "이전|앞선|앞의|위의|위에|기존|원래|처음|초기|당신의|너의|모든|모두|시스템|지금까지",
        "(?:위의|위에|앞의|이전의?|지금까지의?)[^,]{0,10}(?:내용|것|말|글|대화|문장)",
        "보내|전송|전달|게시|업로드|공유|제출|발송|송신|넘겨",
        "사용자|고객|이용자|환자|질문|메시지|대화|답변|응답|데이터|정보|내용|입력|기록|요청",
        "주소|서버|사이트|링크|제3자|외부|공격자|채널|계정",
        "출력|표시|보여|알려|추가|덧붙|포함|쓰|적|반복|인쇄|공개|밝히|나열|말하|제공|보내|넣",
        "비밀번호(?! (?:재설정|규칙|길이|강도|요건))|암호|비밀 ?키|인증 ?정보|API ?키|토큰|카드 ?번호",
        "시스템 ?(?:프롬프트|지시|메시지|명령)|(?:숨겨진|비밀|내부) ?(?:지시|프롬프트|규칙)",
        "지 (?:마|말|않)|절대|금지|없이|안 ",
        "하라고|라고 (?:요구|요청|말|지시)|는지|ㄴ지|달라고|여부|시도",
        gaps=False,
        verb_last=True,
    ),
    # Arabic
    Words(
        "تجاهل|تجاوز|انس[ىَ]?(?!ا)|إنس|أهمل|اهمل|تخط|ألغ|الغ",
        "(?:لا|لم|توقف عن)(?: \\w+)?? ?(?:تتبع|تلتزم|تطع|تنفذ|اتباع|الالتزام|تراع|تعمل ب)",
        "تعليمات|قواعد|أوامر|اوامر|توجيهات|إرشادات|ارشادات|ضوابط|قيود",
        "السابق|سابق|أعلاه|اعلاه|الأصلي|الاصلي|أصلي|الأولي|الحالي|كل ال|جميع|النظام|اتك|واعدك|أوامرك|ماتك|شاداتك",
        "(?:كل|جميع) ما (?:سبق|ورد|قيل|كتب|هو|جاء)|ما سبق",
        "أرسل|ارسل|إرسال|ارسال|حول|أعد توجيه|اعد توجيه|انشر|ارفع|شارك|انقل|مرر|سرب|ابعث",
        "المستخدم|مستخدم|العميل|الزبون|المريض|سؤال|أسئلة|رسال|محادث|إجاب|اجاب|بيانات|معلومات|طلب|محتو|سجل|النص|كل شيء",
        "عنوان|خادم|موقع|رابط|طرف ثالث|خارجي|مهاجم|قناة|حساب",
        "اعرض|أظهر|اظهر|اكتب|أضف|اضف|أدرج|ادرج|كرر|اطبع|اكشف|اذكر|أعط|اعط|أخبر|اخبر|ضع|أرفق|ارفق|أفصح|أرسل",
        "كلم(?:ة|ات) (?:ال)?(?:مرور|سر)|كلمة مرور|مفتاح (?:ال)?(?:api|سري|واجهة)|بيانات (?:ال)?(?:اعتماد|دخول)|رمز الوصول"
        "|بطاقة الائتمان",
        "(?:موجه|مطالبة|رسالة|تعليمات|أوامر) (?:ال)?نظام|(?:التعليمات|الأوامر) (?:المخفية|السرية|الداخلية)",
        r"\bلا\b|أبدا|أبدًا|\bدون\b|بدون|ليس|تجنب|يمنع|ممنوع",
        "ما إذا|ما اذا|هل |يطلب|تطلب|إن كان|فيما إذا|يحاول|تحاول|محاول",
        gaps=False,
    ),
    # Turkish
    Words(
        r"yok say|yoksay|görmezden gel|unut(?:un)?\b|göz ardı et|dikkate alma|boş ver|es geç|geçersiz kıl",
        r"(?:uyma|takip etme|izleme|itaat etme|dinleme|uygulama|uymayı bırak)(?:yın|yin)?\b",
        r"talimat|kural|yönerge|komut|direktif|istem|emir|sınırlama",
        r"önceki|eski|yukarıdaki|daha önceki|asıl|orijinal|ilk|mevcut|sistem|tüm|bütün|kurallarını|talimatlarını",
        r"yukarıdaki(?: \w+){0,2} (?:her şey|şeyler|içer|tüm)|yukarıdakiler|(?:önceki|yukarıda)(?: \w+){0,3} her ?şey",
        r"gönder|ilet|yolla|aktar|yükle|paylaş|yayınla|postala",
        r"kullanıcı|müşteri|hasta|soru|mesaj|konuşma|cevap|yanıt|veri|bilgi|içerik|girdi|geçmiş|metin",
        r"adres|sunucu|site|bağlantı|üçüncü|harici|dış\b|saldırgan|kanal|hesap",
        r"göster|yaz|ekle|ver\b|söyle|tekrarla|yazdır|açıkla|ifşa|paylaş|belirt|listele|koy|dahil et|gönder",
        r"parola|şifre|api anahtar|gizli anahtar|kimlik bilgi|erişim (?:anahtar|belirte)|kart numara",
        r"sistem (?:istem|prompt|mesaj|talimat|komut)|(?:gizli|iç|saklı) (?:talimat|istem|kural)",
        r"asla|hiçbir|sakın|olmadan|\w+m[ae](?:yın|yin|malı|meli)?$|kaçın|değil",
        r"isteyip|istediğini|olup olmadığı|ister|istiyor|istediği|çalış",
        verb_last=True,
    ),
    # Polish
    Words(
        r"z?ignoruj|zignorow|zapomnij|pomiń|pomijaj|odrzuć|obejdź|omiń|lekceważ|nadpisz|unieważnij",
        r"(?:nie|przestań)(?: \w+)?? (?:przestrzega|stosu|stosow|wykonu|słucha|trzyma|podąża|kieru)",
        r"instrukcj|zasad|reguł|polece|wytyczn|dyrektyw|nakaz|ogranicze",
        r"poprzedni|wcześniejsz|powyż|pierwotn|początkow|oryginaln|swo|two|dotychczasow|systemow|wszystki",
        r"wszystk\w+,?(?: co)?(?: \w+){0,3} (?:powyżej|wyżej|wcześniej|dotąd)|wszystko (?:powyżej|wcześniej)",
        r"wyślij|wysyłaj|prześlij|przesyłaj|przekaż|przekazuj|opublikuj|udostępni|załaduj|wrzuć|podeślij",
        r"użytkownik|klient|pacjent|pytani|wiadomoś|rozmow|odpowied|dane|danych|zapytani|histori|treś|tekst|wszystko",
        r"adres|serwer|stron|odnośnik|osob\w* trzeci|zewnętrzn|atakując|kanał|konto",
        r"pokaż|pokazuj|podaj|podawaj|ujawni|dodaj|dodawaj|napisz|wypisz|powtórz|wyświetl|wydrukuj|dołącz|umieść|zakończ|zacznij"
        r"|wyślij|zdradź|wstaw|dopisz",
        r"hasł(?:o|a|em)\b|haseł|klucz\w* api|tajn\w+ klucz|dane logowania|danych logowania|token|numer\w* kart",
        r"prompt\w* systemow|systemow\w+ prompt|(?:ukryt|tajn|wewnętrzn)\w+ (?:instrukcj|prompt|zasad)|instrukcj\w+ systemow",
        r"nie|nigdy|bez|ani|unikaj|żadn\w+",
        r"czy\b|prosi|żąda|każe|wzywa|prób|usiłuj",
    ),
    # Hindi
    Words(
        "अनदेखा|अनदेखी|नज़रअंदाज़|नजरअंदाज|भूल|उपेक्षा|रद्द",
        "(?:पालन|अनुसरण|मान)[^,]{0,12}(?:मत|न करें|न करो|बंद|ना)",
        "निर्देश|नियम|आदेश|प्रॉम्प्ट|दिशानिर्देश|हिदायत",
        "पिछल|पहले|पूर्व|ऊपर|मूल|आरंभिक|प्रारंभिक|अपने|आपके|तुम्हारे|सिस्टम|सभी|सारे|सब ",
        "ऊपर[^,]{0,12}(?:सब|सभी|बात|बातें|कुछ)|(?:पहले|पिछल)[^,]{0,12}(?:सब कुछ|बातें)",
        "भेज|प्रेषित|अपलोड|साझा|पोस्ट|अग्रेषित|स्थानांतरित|फॉरवर्ड",
        "उपयोगकर्ता|ग्राहक|मरीज|रोगी|प्रश्न|सवाल|संदेश|बातचीत|उत्तर|जवाब|डेटा|जानकारी|सामग्री|इतिहास|अनुरोध",
        "पते|पता|सर्वर|वेबसाइट|लिंक|तीसरे पक्ष|बाहरी|हमलावर|चैनल|खाते",
        "दिखा|बता|जोड़|लिख|शामिल|दोहरा|प्रिंट|प्रकट|उजागर|दे दो|डाल|सूची|भेज",
        "पासवर्ड|गुप्त कुंजी|एपीआई कुंजी|api कुंजी|टोकन|क्रेडेंशियल|कार्ड नंबर",
        "सिस्टम (?:के )?(?:प्रॉम्प्ट|निर्देश|संदेश)|(?:छिपे|गुप्त|आंतरिक) (?:निर्देश|प्रॉम्प्ट|नियम)",
        "मत|नहीं|कभी|बिना|न कर|ना कर",
        "क्या|कहता|कहती|मांग|अनुरोध करता|कि पाठ|कोशिश|प्रयास",
        gaps=False,
        verb_last=True,
    ),
)


@cache
def _patterns() -> tuple[tuple[Words, dict[str, re.Pattern[str]]], ...]:
    """The words of each language, ready to be looked for."""
    found = []
    for words in _LANGUAGES:
        patterns, start = {}, r"(?<!\w)" if words.gaps else ""
        for name, said in words._asdict().items():
            if isinstance(said, str):
                more = f"|{_EVERYWHERE[name]}" if name in _EVERYWHERE else ""
                whole = r"(?!\w)" if name == "denied" and words.gaps else ""
                patterns[name] = re.compile(f"{start}(?:{_unaccented(said)}{more}){whole}", re.I)
        found.append((words, patterns))
    return tuple(found)


def _unaccented(text: str) -> str:
    """A text without the accents of Latin, Greek and Cyrillic letters, which are often left out."""
    return unicodedata.normalize("NFC", re.sub("[\u0300-\u036f]", "", unicodedata.normalize("NFD", text)))


def foreign_orders(plain: str) -> Iterator[tuple[str, str, str]]:
    """The orders in a text in a language other than English: what it is, its sentence, and what it is about."""
    for match in _SENTENCE.finditer(plain):
        sentence = " ".join(match.group().split())
        if len(_ENGLISH.findall(sentence)) > 1 or _NOT_ARABIC.search(sentence):
            continue
        bare = _QUOTED.sub(" ", _unaccented(sentence))
        said = itertools.chain.from_iterable(_said(bare, patterns) for _, patterns in _patterns())
        found = next(said, None)
        if found is not None:
            yield found[0], sentence, found[1]


def _said(sentence: str, patterns: dict[str, re.Pattern[str]]) -> Iterator[tuple[str, str]]:
    """What a sentence orders, read as one of a language."""

    def has(*names: str, within: str = sentence) -> bool:
        return all(patterns[name].search(within) for name in names)

    def orders(verb: str) -> bool:
        found = patterns[verb].finditer(sentence)
        return any(
            not _is_denied(sentence, at, patterns) and not _is_told_of(sentence, at)
            for at in (one.start() for one in found)
        )

    rules = [clause for clause in _CLAUSE.split(sentence) if has("rules", "before", within=clause)]
    disobeyed = any(
        has("disobey", within=clause) and not _is_told_of(sentence, sentence.index(clause)) for clause in rules
    )
    if disobeyed or ((rules or has("above")) and orders("drop")):
        yield "an order to drop instructions", "rules"
    if has("send", "data", "away") and orders("send"):
        yield "a command to send data away", "data"
    if has("tell", "hidden") and orders("tell"):
        yield "an order to show hidden text", "hidden"
    if has("tell", "secret") and orders("tell"):
        yield "an order to hand out secrets", "secret"


def _is_told_of(sentence: str, at: int) -> bool:
    """Whether the verb at a place is another one's: related languages share verbs, so all say so together."""
    return any(
        patterns["told"].search(sentence if words.verb_last else sentence[:at]) for words, patterns in _patterns()
    )


def _is_denied(sentence: str, at: int, patterns: dict[str, re.Pattern[str]]) -> bool:
    """Whether the verb at a place is denied in its clause."""
    start = max((one.end() for one in _CLAUSE.finditer(sentence, 0, at)), default=0)
    end = next((one.start() for one in _CLAUSE.finditer(sentence, at)), len(sentence))
    return bool(patterns["denied"].search(sentence[start:end]))
